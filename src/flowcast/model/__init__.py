"""The model: latent flows, imperfect reports, and the latent part integrated out exactly."""
