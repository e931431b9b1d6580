"""Questions to a Prometheus, as runners and signatures have them."""

from crds.messages import PrometheusQuery
from crds.service import PrometheusGate


def question(asked: PrometheusGate) -> PrometheusQuery:
    """A Prometheus gate as a runner and a signature have it."""
    samples, credentials = asked.samples, asked.credentials
    return PrometheusQuery(
        url=asked.url,
        query=asked.query,
        max=asked.max,
        min=asked.min,
        samples=samples.query if samples else "",
        fewest=samples.min if samples else 0.0,
        user=credentials.user or "" if credentials else "",
    )


def prometheus_secrets(asked: PrometheusGate) -> dict[str, str]:
    """Which secrets of the runner go to the Prometheus: one is called token or password."""
    said = asked.credentials
    if said is None:
        return {}
    return {"token": said.token} if said.token else {"password": said.password or ""}
