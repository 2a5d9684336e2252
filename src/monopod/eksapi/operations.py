"""The EKS operations, each implemented by requests to the API server.

No state is cached between requests, so that objects written by kubectl, or before this process
started, are seen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from lightkube.models.authorization_v1 import ResourceAttributes, SubjectAccessReviewSpec
from lightkube.resources.authorization_v1 import SubjectAccessReview
from lightkube.resources.core_v1 import Namespace

from monopod.api import keys
from monopod.api.constants import DELETING
from monopod.api.resources import FargateProfile, Subnet, Vpc
from monopod.eksapi import pages, profiles, wire
from monopod.eksapi.cluster import OLDEST_NAMESPACE, ClusterEndpoint, describe
from monopod.eksapi.errors import EksError, access_denied, refused_by_cluster
from monopod.eksapi.place import Place, no_such_resource
from monopod.identity.access_key import AccessKey
from monopod.kube import (
    AlreadyExistsError,
    Client,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    meta,
    name_of,
    uid_of,
)

_log: Final = structlog.get_logger("endpoint")


_Answer = Callable[[AccessKey, Any], Awaitable[msgspec.Struct]]


class Operations:
    """Executes the operations that callers request."""

    def __init__(self, client: Client, place: Place, endpoint: ClusterEndpoint) -> None:
        self._client = client
        self._place = place
        self._endpoint = endpoint
        # Two concurrent calls could both pass the quota's check.
        self._creating = asyncio.Lock()
        self._answers: dict[type[msgspec.Struct], _Answer] = {
            wire.CreateFargateProfileRequest: self._create,
            wire.DeleteFargateProfileRequest: self._delete,
            wire.DescribeClusterRequest: self._describe_cluster,
            wire.DescribeFargateProfileRequest: self._describe,
            wire.ListClustersRequest: self._list_clusters,
            wire.ListFargateProfilesRequest: self._list,
            wire.ListTagsForResourceRequest: self._list_tags,
            wire.TagResourceRequest: self._tag,
            wire.UntagResourceRequest: self._untag,
        }

    async def answer(self, caller: AccessKey, request: msgspec.Struct) -> msgspec.Struct:
        """Execute a request on behalf of the user that signed it.

        Raises:
            EksError: The request is rejected.
            KubeError: The API server request failed.
        """
        return await self._answers[type(request)](caller, request)

    async def _create(
        self, caller: AccessKey, request: wire.CreateFargateProfileRequest
    ) -> wire.CreateFargateProfileResponse:
        self._place.require(request.clusterName)
        await self._allow(caller, "create", "CreateFargateProfile", request.fargateProfileName)
        profile = profiles.from_request(request)
        async with self._creating:
            found, subnets, vpcs = await asyncio.gather(
                self._client.list(FargateProfile),
                self._client.list(Subnet),
                self._client.list(Vpc),
            )
            made = profiles.existing(request, found.items, self._place.max_profiles)
            if made is None:
                profiles.check_placement(request, profile, self._place, subnets.items, vpcs.items)
                made = await self._make(request, profile)
        return wire.CreateFargateProfileResponse(fargateProfile=profiles.to_wire(made, self._place))

    async def _make(
        self, request: wire.CreateFargateProfileRequest, profile: FargateProfile
    ) -> FargateProfile:
        try:
            made = await self._client.create(profile)
        except AlreadyExistsError as error:
            raise profiles.in_use(request) from error
        except (InvalidError, ForbiddenError) as error:
            raise refused_by_cluster(
                error.message, cluster=request.clusterName, profile=request.fargateProfileName
            ) from error
        _log.info("profile_created", profile=request.fargateProfileName)
        return made

    async def _describe(
        self, caller: AccessKey, request: wire.DescribeFargateProfileRequest
    ) -> wire.DescribeFargateProfileResponse:
        self._place.require(request.clusterName)
        await self._allow(caller, "get", "DescribeFargateProfile", request.fargateProfileName)
        found = await self._profile(request.fargateProfileName)
        return wire.DescribeFargateProfileResponse(
            fargateProfile=profiles.to_wire(found, self._place)
        )

    async def _list(
        self, caller: AccessKey, request: wire.ListFargateProfilesRequest
    ) -> wire.ListFargateProfilesResponse:
        self._place.require(request.clusterName)
        await self._allow(caller, "list", "ListFargateProfiles")
        found = await self._client.list(FargateProfile)
        names = [name_of(each) for each in found.items]
        shown, token = pages.page(names, request.maxResults, request.nextToken)
        return wire.ListFargateProfilesResponse(fargateProfileNames=shown, nextToken=token)

    async def _delete(
        self, caller: AccessKey, request: wire.DeleteFargateProfileRequest
    ) -> wire.DeleteFargateProfileResponse:
        self._place.require(request.clusterName)
        name = request.fargateProfileName
        await self._allow(caller, "delete", "DeleteFargateProfile", name)
        found = await self._profile(name)
        try:
            await self._client.delete(FargateProfile, name, uid=uid_of(found))
        except (NotFoundError, ConflictError) as error:
            raise self._no_profile(name) from error
        except ForbiddenError as error:
            raise refused_by_cluster(
                error.message, cluster=request.clusterName, profile=name
            ) from error
        _log.info("profile_deleted", profile=name)
        going = msgspec.structs.replace(profiles.to_wire(found, self._place), status=DELETING)
        return wire.DeleteFargateProfileResponse(fargateProfile=going)

    async def _describe_cluster(
        self, _: AccessKey, request: wire.DescribeClusterRequest
    ) -> wire.DescribeClusterResponse:
        self._place.require(request.name)
        oldest, version, subnets = await asyncio.gather(
            self._client.get(Namespace, OLDEST_NAMESPACE),
            self._client.raw("/version"),
            self._client.list(Subnet),
        )
        made = meta(oldest).creationTimestamp
        return wire.DescribeClusterResponse(
            cluster=describe(self._place, self._endpoint, made, version, subnets.items)
        )

    async def _list_clusters(
        self, _: AccessKey, request: wire.ListClustersRequest
    ) -> wire.ListClustersResponse:
        shown, token = pages.page([self._place.cluster], request.maxResults, request.nextToken)
        return wire.ListClustersResponse(clusters=shown, nextToken=token)

    async def _tag(
        self, caller: AccessKey, request: wire.TagResourceRequest
    ) -> wire.TagResourceResponse:
        await self._change_tags(caller, "TagResource", request.resourceArn, request.tags)
        return wire.TagResourceResponse()

    async def _untag(
        self, caller: AccessKey, request: wire.UntagResourceRequest
    ) -> wire.UntagResourceResponse:
        gone = dict.fromkeys(request.tagKeys)
        await self._change_tags(caller, "UntagResource", request.resourceArn, gone)
        return wire.UntagResourceResponse()

    async def _list_tags(
        self, caller: AccessKey, request: wire.ListTagsForResourceRequest
    ) -> wire.ListTagsForResourceResponse:
        named = self._place.read_arn(request.resourceArn)
        if named is None:
            return wire.ListTagsForResourceResponse(tags={})
        await self._allow(caller, "get", "ListTagsForResource", named.profile)
        found = await self._individual(request.resourceArn)
        return wire.ListTagsForResourceResponse(tags=dict(found.spec.tags))

    async def _change_tags(
        self, caller: AccessKey, action: str, arn: str, tags: dict[str, str] | dict[str, None]
    ) -> None:
        named = self._place.read_arn(arn)
        if named is None:
            raise EksError("BadRequestException", "Only Fargate profiles have tags here.")
        await self._allow(caller, "patch", action, named.profile)
        found = await self._individual(arn)
        # A merge patch, so that concurrent changes to other tags are preserved.
        change = {"metadata": {"uid": uid_of(found)}, "spec": {"tags": tags}}
        try:
            await self._client.patch(FargateProfile, named.profile, change)
        except (NotFoundError, ConflictError) as error:
            raise no_such_resource(arn) from error
        except (InvalidError, ForbiddenError) as error:
            raise EksError("BadRequestException", error.message) from error

    async def _profile(self, name: str) -> FargateProfile:
        try:
            return await self._client.get(FargateProfile, name)
        except NotFoundError as error:
            raise self._no_profile(name) from error

    async def _individual(self, arn: str) -> FargateProfile:
        named = self._place.read_arn(arn)
        if named is None:
            raise no_such_resource(arn)
        try:
            found = await self._client.get(FargateProfile, named.profile)
        except NotFoundError as error:
            raise no_such_resource(arn) from error
        if uid_of(found) != named.uid:
            raise no_such_resource(arn)
        return found

    def _no_profile(self, name: str) -> EksError:
        return EksError(
            "ResourceNotFoundException",
            f"No Fargate Profile found with name: {name}.",
            404,
            cluster=self._place.cluster,
            profile=name,
        )

    async def _allow(self, caller: AccessKey, verb: str, action: str, name: str = "") -> None:
        asked = ResourceAttributes(
            group=keys.GROUP, resource="fargateprofiles", verb=verb, name=name or None
        )
        spec = SubjectAccessReviewSpec(
            user=caller.user, groups=list(caller.groups), resourceAttributes=asked
        )
        review = await self._client.create(SubjectAccessReview(spec=spec))
        if review.status is None or not review.status.allowed:
            user = self._place.user_arn(caller.user)
            raise access_denied(
                f"User: {user} is not authorized to perform: eks:{action} on resource:"
                f" {self._place.arn}"
            )
