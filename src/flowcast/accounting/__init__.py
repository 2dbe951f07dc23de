"""Stock tables to flows with their uncertainty, raking, net tables, components, age and sex.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.accounting._age_flows import read_flow_table as read_flow_table
    from flowcast.accounting._age_flows import split_table as split_table
    from flowcast.accounting._age_groups import FIVE_YEAR_AGES as FIVE_YEAR_AGES
    from flowcast.accounting._age_rounding import round_keeping_sums as round_keeping_sums
    from flowcast.accounting._age_schedules import STANDARD_SCHEDULE as STANDARD_SCHEDULE
    from flowcast.accounting._age_schedules import Schedule as Schedule
    from flowcast.accounting._age_schedules import age_rates as age_rates
    from flowcast.accounting._age_schedules import age_shares as age_shares
    from flowcast.accounting._age_schedules import group_rates as group_rates
    from flowcast.accounting._age_schedules import schedule_features as schedule_features
    from flowcast.accounting._age_split import pair_draws as pair_draws
    from flowcast.accounting._age_split import reconcile_parts as reconcile_parts
    from flowcast.accounting._age_split import split_blocks as split_blocks
    from flowcast.accounting._age_split import split_by_age as split_by_age
    from flowcast.accounting._age_split import split_by_sex as split_by_sex
    from flowcast.accounting._age_tables import read_ages as read_ages
    from flowcast.accounting._age_tables import read_schedules as read_schedules
    from flowcast.accounting._age_tables import read_sex_shares as read_sex_shares
    from flowcast.accounting._age_tables import tidy_schedules as tidy_schedules
    from flowcast.accounting.ages import AgeTable as AgeTable
    from flowcast.accounting.ages import ScheduleFit as ScheduleFit
    from flowcast.accounting.ages import check_age_table as check_age_table
    from flowcast.accounting.ages import compare_variants as compare_variants
    from flowcast.accounting.ages import fit_schedules as fit_schedules
    from flowcast.accounting.benchmarking import Benchmarked as Benchmarked
    from flowcast.accounting.benchmarking import benchmark_flows as benchmark_flows
    from flowcast.accounting.bridge import StockSource as StockSource
    from flowcast.accounting.bridge import bridge_flows as bridge_flows
    from flowcast.accounting.bridge import stock_source as stock_source
    from flowcast.accounting.completing import events_between as events_between
    from flowcast.accounting.completing import share_unknown as share_unknown
    from flowcast.accounting.components import Multiplicative as Multiplicative
    from flowcast.accounting.components import conditional_maximisation as conditional_maximisation
    from flowcast.accounting.components import (
        multiplicative_components as multiplicative_components,
    )
    from flowcast.accounting.components import recompose as recompose
    from flowcast.accounting.demographic import balance_stocks as balance_stocks
    from flowcast.accounting.demographic import demographic_flows as demographic_flows
    from flowcast.accounting.differences import difference_flows as difference_flows
    from flowcast.accounting.differences import growth_flows as growth_flows
    from flowcast.accounting.differences import rate_flows as rate_flows
    from flowcast.accounting.indices import age_profile as age_profile
    from flowcast.accounting.indices import connectivity as connectivity
    from flowcast.accounting.indices import distance_decay as distance_decay
    from flowcast.accounting.indices import distance_moved as distance_moved
    from flowcast.accounting.indices import impact as impact
    from flowcast.accounting.indices import intensity as intensity
    from flowcast.accounting.indices import schedule_indices as schedule_indices
    from flowcast.accounting.indices import streams as streams
    from flowcast.accounting.interpolation import interpolate_stocks as interpolate_stocks
    from flowcast.accounting.methods import METHODS as METHODS
    from flowcast.accounting.methods import estimator as estimator
    from flowcast.accounting.net import NetTable as NetTable
    from flowcast.accounting.net import net_of_flows as net_of_flows
    from flowcast.accounting.net import net_table as net_table
    from flowcast.accounting.net_migration import follow_cohorts as follow_cohorts
    from flowcast.accounting.net_migration import net_from_survival as net_from_survival
    from flowcast.accounting.net_migration import net_from_vital_events as net_from_vital_events
    from flowcast.accounting.net_migration import survival_ratios as survival_ratios
    from flowcast.accounting.population import PopulationMargins as PopulationMargins
    from flowcast.accounting.population import draw_margins as draw_margins
    from flowcast.accounting.population import population_margins as population_margins
    from flowcast.accounting.population import read_population_margins as read_population_margins
    from flowcast.accounting.pseudo_bayes import calibrate_weight as calibrate_weight
    from flowcast.accounting.pseudo_bayes import pseudo_bayes_flows as pseudo_bayes_flows
    from flowcast.accounting.raking import Blocks as Blocks
    from flowcast.accounting.raking import Margins as Margins
    from flowcast.accounting.raking import Raked as Raked
    from flowcast.accounting.raking import rake as rake
    from flowcast.accounting.raking import rake_off_diagonal as rake_off_diagonal
    from flowcast.accounting.stock_errors import StockErrors as StockErrors
    from flowcast.accounting.stock_errors import read_stock_errors as read_stock_errors
    from flowcast.accounting.stocks import read_accounts as read_accounts
    from flowcast.accounting.stocks import read_seed as read_seed
    from flowcast.accounting.stocks import read_stocks as read_stocks
    from flowcast.accounting.stocks import read_vital_events as read_vital_events
    from flowcast.accounting.stocks import tidy_flows as tidy_flows
    from flowcast.accounting.uncertainty import account_periods as account_periods
    from flowcast.accounting.uncertainty import account_series as account_series
    from flowcast.accounting.uncertainty import draw_accounts as draw_accounts
    from flowcast.accounting.uncertainty import draw_series as draw_series

# Public name -> module that defines it. No name may be that of a module: importing it would win.
_HOME = {
    "account_periods": "uncertainty",
    "account_series": "uncertainty",
    "read_flow_table": "_age_flows",
    "split_table": "_age_flows",
    "FIVE_YEAR_AGES": "_age_groups",
    "round_keeping_sums": "_age_rounding",
    "STANDARD_SCHEDULE": "_age_schedules",
    "Schedule": "_age_schedules",
    "age_rates": "_age_schedules",
    "age_shares": "_age_schedules",
    "group_rates": "_age_schedules",
    "schedule_features": "_age_schedules",
    "pair_draws": "_age_split",
    "reconcile_parts": "_age_split",
    "split_blocks": "_age_split",
    "split_by_age": "_age_split",
    "split_by_sex": "_age_split",
    "read_ages": "_age_tables",
    "read_schedules": "_age_tables",
    "read_sex_shares": "_age_tables",
    "tidy_schedules": "_age_tables",
    "AgeTable": "ages",
    "ScheduleFit": "ages",
    "check_age_table": "ages",
    "compare_variants": "ages",
    "fit_schedules": "ages",
    "age_profile": "indices",
    "balance_stocks": "demographic",
    "benchmark_flows": "benchmarking",
    "Benchmarked": "benchmarking",
    "Blocks": "raking",
    "bridge_flows": "bridge",
    "calibrate_weight": "pseudo_bayes",
    "conditional_maximisation": "components",
    "connectivity": "indices",
    "demographic_flows": "demographic",
    "difference_flows": "differences",
    "draw_accounts": "uncertainty",
    "draw_series": "uncertainty",
    "estimator": "methods",
    "events_between": "completing",
    "distance_decay": "indices",
    "distance_moved": "indices",
    "draw_margins": "population",
    "follow_cohorts": "net_migration",
    "growth_flows": "differences",
    "impact": "indices",
    "intensity": "indices",
    "interpolate_stocks": "interpolation",
    "Margins": "raking",
    "METHODS": "methods",
    "Multiplicative": "components",
    "multiplicative_components": "components",
    "net_from_survival": "net_migration",
    "net_from_vital_events": "net_migration",
    "net_of_flows": "net",
    "net_table": "net",
    "NetTable": "net",
    "population_margins": "population",
    "PopulationMargins": "population",
    "pseudo_bayes_flows": "pseudo_bayes",
    "rake": "raking",
    "rake_off_diagonal": "raking",
    "Raked": "raking",
    "rate_flows": "differences",
    "read_accounts": "stocks",
    "read_population_margins": "population",
    "read_seed": "stocks",
    "read_stock_errors": "stock_errors",
    "read_stocks": "stocks",
    "read_vital_events": "stocks",
    "recompose": "components",
    "schedule_indices": "indices",
    "StockErrors": "stock_errors",
    "share_unknown": "completing",
    "stock_source": "bridge",
    "StockSource": "bridge",
    "streams": "indices",
    "survival_ratios": "net_migration",
    "tidy_flows": "stocks",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
