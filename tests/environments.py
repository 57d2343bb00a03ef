"""What engines look for in the environment."""

SILENT_BY_THEMSELVES = (
    "CI",
    "TF_BUILD",
    "JENKINS_URL",
    "XDG_CACHE_HOME",
    "ORT_DISABLE_TELEMETRY",
)
"""Where one is set, as on servers for continuous integration, engines report nothing anyway."""
