"""The webhook that creates FargateProfiles with the finalizer of their controller.

The controller could add it only after the fact: a profile that is deleted before would leave its
pods running.
"""

from typing import Final

import msgspec

from monopod.api import keys
from monopod.webhooks.review import (
    append,
    decoding_errors_as_bad_review,
    read_request,
    write_answer,
)

PROFILE: Final = (keys.GROUP, keys.VERSION, "FargateProfile")


class _Metadata(msgspec.Struct):
    finalizers: list[str] | None = None


class _Profile(msgspec.Struct):
    metadata: _Metadata


async def add_finalizer(body: bytes) -> bytes:
    """Return the answer to an AdmissionReview of a new profile.

    Raises:
        BadReviewError: The body is not an AdmissionReview.
    """
    request = read_request(body)
    if request.resource_kind != PROFILE or request.operation != "CREATE":
        return write_answer(request.uid)
    with decoding_errors_as_bad_review():
        found = msgspec.json.decode(request.object, type=_Profile).metadata.finalizers or []
    missing = [each for each in (keys.PROFILE_FINALIZER,) if each not in found]
    return write_answer(request.uid, append("/metadata/finalizers", found, missing))
