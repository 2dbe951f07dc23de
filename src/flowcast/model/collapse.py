"""The collapsed likelihood as a PyTensor operation: value and exact gradient in one pass."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from flowcast.model.kernel import collapsed_value_grad

__all__ = ["CollapsedLikelihood"]

N_DIFFERENTIABLE = 5
"""The first inputs (residual, noise, coefficient variances, scales, series variances)."""


class CollapsedLikelihood(Op):
    """Log marginal likelihood of the reports, latent flows and coefficients integrated out.

    Outputs the value and its gradient with respect to the first five inputs, so that one pass
    serves both; the gradient of a gradient is not defined.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply[Any]:
        """Build the node: five differentiable inputs, then the layout, then the weights."""
        variables = [pt.as_tensor_variable(x) for x in inputs]
        outputs = [pt.dscalar(), *(pt.dvector() for _ in range(N_DIFFERENTIABLE))]
        return Apply(self, variables, outputs)

    def perform(self, node: Apply[Any], inputs: Any, output_storage: Any) -> None:
        """Evaluate in Python (used where there is no Numba linker)."""
        result = collapsed_value_grad(*inputs)
        for storage, value in zip(output_storage, result, strict=False):
            storage[0] = np.asarray(value)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable[Any, Any]]:
        """Return the gradient: already among the outputs."""
        slopes = [cotangents[0] * slope for slope in outputs[1:]]
        rest = len(inputs) - N_DIFFERENTIABLE
        return [*slopes, *(disconnected_type() for _ in range(rest))]

    def connection_pattern(self, node: Apply[Any]) -> list[list[bool]]:
        """Only the value depends differentiably on inputs, and only on the first five."""
        n_out = 1 + N_DIFFERENTIABLE
        return [[i < N_DIFFERENTIABLE] + [False] * (n_out - 1) for i in range(len(node.inputs))]


@register_funcify_default_op_cache_key(CollapsedLikelihood)  # type: ignore[untyped-decorator, no-untyped-call]
def _funcify(op: CollapsedLikelihood, node: Apply[Any], **kwargs: Any) -> Any:
    @numba_njit
    def run(*inputs):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN202
        out = collapsed_value_grad(*inputs)
        return np.asarray(out[0]), out[1], out[2], out[3], out[4], out[5]

    return run, 1
