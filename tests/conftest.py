"""What all tests share: reproducible hypothesis runs that look at no clock."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hwcomp", deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)  # fmt: skip
settings.load_profile("hwcomp")
