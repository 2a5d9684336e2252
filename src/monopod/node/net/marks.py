"""Packet marks of the router: each names a connection that later chains treat differently.

They differ from kube-proxy's, which is one bit.
"""

from typing import Final

TO_ITSELF: Final = 0x6D
"""A connection from a pod to itself."""
BACK: Final = 0x6E
"""A connection that goes back over a link that several pods share."""
TO_KUBELET: Final = 0x6F
"""A connection from a pod to a kubelet, whose destination was translated."""
FROM_OWN_KUBELET: Final = 0x70
"""A connection from a kubelet to its own pod, such as a probe."""
