"""Says why an instance has not ended: from the store, and from the hosts that can be asked."""

from func_py.management.why.explainer import Explainer, Explanation, Look
from func_py.management.why.facts import Reason
from func_py.management.why.hosts import OtherHosts

__all__ = ["Explainer", "Explanation", "Look", "OtherHosts", "Reason"]
