"""Hypothesis profiles: CPOOL_TEST_PROFILE=thorough runs many more, random cases, short a third of them."""

import os

from hypothesis import HealthCheck, settings

# Cases are built from few draws; filtering none of them, the checks on speed would only report a busy machine.
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]

COMMON = settings(deadline=None, suppress_health_check=QUIET)
settings.register_profile("default", COMMON, derandomize=True, database=None, max_examples=60)
settings.register_profile("short", COMMON, derandomize=True, database=None, max_examples=20)
settings.register_profile("thorough", COMMON, print_blob=True, max_examples=3000)
settings.load_profile(os.environ.get("CPOOL_TEST_PROFILE", "default"))
