"""The EKS API's structures and operations, written by ``tools/generate_eks_wire.py``: do not edit.

Source: botocore's service model ``eks/2017-11-01``. Field names are the wire's, hence camelCase;
times are seconds since the epoch.
"""

from typing import Final, Literal

from msgspec import Struct

from monopod.eksapi.operation import Operation, Unimplemented


class FargateProfileSelector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``FargateProfileSelector``."""

    namespace: str | None = None
    labels: dict[str, str] | None = None


class CreateFargateProfileRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``CreateFargateProfileRequest``."""

    fargateProfileName: str
    clusterName: str
    podExecutionRoleArn: str
    subnets: list[str] | None = None
    selectors: list[FargateProfileSelector] | None = None
    clientRequestToken: str | None = None
    tags: dict[str, str] | None = None


FargateProfileStatus = Literal["CREATING", "ACTIVE", "DELETING", "CREATE_FAILED", "DELETE_FAILED"]
FargateProfileIssueCode = Literal[
    "PodExecutionRoleAlreadyInUse", "AccessDenied", "ClusterUnreachable", "InternalFailure"
]


class FargateProfileIssue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``FargateProfileIssue``."""

    code: FargateProfileIssueCode | None = None
    message: str | None = None
    resourceIds: list[str] | None = None


class FargateProfileHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``FargateProfileHealth``."""

    issues: list[FargateProfileIssue] | None = None


class FargateProfile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``FargateProfile``."""

    fargateProfileName: str | None = None
    fargateProfileArn: str | None = None
    clusterName: str | None = None
    createdAt: float | None = None
    podExecutionRoleArn: str | None = None
    subnets: list[str] | None = None
    selectors: list[FargateProfileSelector] | None = None
    status: FargateProfileStatus | None = None
    tags: dict[str, str] | None = None
    health: FargateProfileHealth | None = None


class CreateFargateProfileResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``CreateFargateProfileResponse``."""

    fargateProfile: FargateProfile | None = None


class DeleteFargateProfileRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DeleteFargateProfileRequest``."""

    clusterName: str
    fargateProfileName: str


class DeleteFargateProfileResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DeleteFargateProfileResponse``."""

    fargateProfile: FargateProfile | None = None


class DescribeClusterRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DescribeClusterRequest``."""

    name: str


ControlPlaneEgressModeType = Literal["AWS_MANAGED", "CUSTOMER_ROUTED", "CUSTOMER_ISOLATED"]


class VpcConfigResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``VpcConfigResponse``."""

    subnetIds: list[str] | None = None
    securityGroupIds: list[str] | None = None
    clusterSecurityGroupId: str | None = None
    vpcId: str | None = None
    endpointPublicAccess: bool | None = None
    endpointPrivateAccess: bool | None = None
    publicAccessCidrs: list[str] | None = None
    controlPlaneEgressMode: ControlPlaneEgressModeType | None = None


IpFamily = Literal["ipv4", "ipv6"]


class KubernetesNetworkConfigResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``KubernetesNetworkConfigResponse``."""

    serviceIpv4Cidr: str | None = None
    ipFamily: IpFamily | None = None


LogType = Literal["api", "audit", "authenticator", "controllerManager", "scheduler"]


class LogSetup(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``LogSetup``."""

    types: list[LogType] | None = None
    enabled: bool | None = None


class Logging(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``Logging``."""

    clusterLogging: list[LogSetup] | None = None


class OIDC(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``OIDC``."""

    issuer: str | None = None


class Identity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``Identity``."""

    oidc: OIDC | None = None


ClusterStatus = Literal["CREATING", "ACTIVE", "DELETING", "FAILED", "UPDATING", "PENDING"]
CertificateAuthorityActivatedBy = Literal["EKS", "CUSTOMER"]


class ActiveCertificateAuthority(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ActiveCertificateAuthority``."""

    id: str | None = None
    activatedBy: CertificateAuthorityActivatedBy | None = None


class Certificate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``Certificate``."""

    data: str | None = None
    active: ActiveCertificateAuthority | None = None


ClusterIssueCode = Literal[
    "AccessDenied",
    "ClusterUnreachable",
    "ConfigurationConflict",
    "InternalFailure",
    "ResourceLimitExceeded",
    "ResourceNotFound",
    "IamRoleNotFound",
    "VpcNotFound",
    "InsufficientFreeAddresses",
    "Ec2ServiceNotSubscribed",
    "Ec2SubnetNotFound",
    "Ec2SecurityGroupNotFound",
    "KmsGrantRevoked",
    "KmsKeyNotFound",
    "KmsKeyMarkedForDeletion",
    "KmsKeyDisabled",
    "StsRegionalEndpointDisabled",
    "UnsupportedVersion",
    "Other",
]


class ClusterIssue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ClusterIssue``."""

    code: ClusterIssueCode | None = None
    message: str | None = None
    resourceIds: list[str] | None = None


class ClusterHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ClusterHealth``."""

    issues: list[ClusterIssue] | None = None


AuthenticationMode = Literal["API", "API_AND_CONFIG_MAP", "CONFIG_MAP"]


class AccessConfigResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``AccessConfigResponse``."""

    bootstrapClusterCreatorAdminPermissions: bool | None = None
    authenticationMode: AuthenticationMode | None = None


class Cluster(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``Cluster``."""

    name: str | None = None
    arn: str | None = None
    createdAt: float | None = None
    version: str | None = None
    endpoint: str | None = None
    resourcesVpcConfig: VpcConfigResponse | None = None
    kubernetesNetworkConfig: KubernetesNetworkConfigResponse | None = None
    logging: Logging | None = None
    identity: Identity | None = None
    status: ClusterStatus | None = None
    certificateAuthority: Certificate | None = None
    platformVersion: str | None = None
    tags: dict[str, str] | None = None
    health: ClusterHealth | None = None
    accessConfig: AccessConfigResponse | None = None


class DescribeClusterResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DescribeClusterResponse``."""

    cluster: Cluster | None = None


class DescribeFargateProfileRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DescribeFargateProfileRequest``."""

    clusterName: str
    fargateProfileName: str


class DescribeFargateProfileResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``DescribeFargateProfileResponse``."""

    fargateProfile: FargateProfile | None = None


class ListClustersRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListClustersRequest``."""

    maxResults: int | None = None
    nextToken: str | None = None
    include: list[str] | None = None


class ListClustersResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListClustersResponse``."""

    clusters: list[str] | None = None
    nextToken: str | None = None


class ListFargateProfilesRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListFargateProfilesRequest``."""

    clusterName: str
    maxResults: int | None = None
    nextToken: str | None = None


class ListFargateProfilesResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListFargateProfilesResponse``."""

    fargateProfileNames: list[str] | None = None
    nextToken: str | None = None


class ListTagsForResourceRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListTagsForResourceRequest``."""

    resourceArn: str


class ListTagsForResourceResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``ListTagsForResourceResponse``."""

    tags: dict[str, str] | None = None


class TagResourceRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``TagResourceRequest``."""

    resourceArn: str
    tags: dict[str, str]


class TagResourceResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``TagResourceResponse``."""

    pass


class UntagResourceRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``UntagResourceRequest``."""

    resourceArn: str
    tagKeys: list[str]


class UntagResourceResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``UntagResourceResponse``."""

    pass


OPERATIONS: Final = (
    Operation(
        "CreateFargateProfile",
        "POST",
        ("clusters", "{name}", "fargate-profiles"),
        CreateFargateProfileRequest,
        CreateFargateProfileResponse,
        {"name": "clusterName"},
        {},
    ),
    Operation(
        "DeleteFargateProfile",
        "DELETE",
        ("clusters", "{name}", "fargate-profiles", "{fargateProfileName}"),
        DeleteFargateProfileRequest,
        DeleteFargateProfileResponse,
        {"name": "clusterName", "fargateProfileName": "fargateProfileName"},
        {},
    ),
    Operation(
        "DescribeCluster",
        "GET",
        ("clusters", "{name}"),
        DescribeClusterRequest,
        DescribeClusterResponse,
        {"name": "name"},
        {},
    ),
    Operation(
        "DescribeFargateProfile",
        "GET",
        ("clusters", "{name}", "fargate-profiles", "{fargateProfileName}"),
        DescribeFargateProfileRequest,
        DescribeFargateProfileResponse,
        {"name": "clusterName", "fargateProfileName": "fargateProfileName"},
        {},
    ),
    Operation(
        "ListClusters",
        "GET",
        ("clusters",),
        ListClustersRequest,
        ListClustersResponse,
        {},
        {
            "maxResults": ("maxResults", False),
            "nextToken": ("nextToken", False),
            "include": ("include", True),
        },
    ),
    Operation(
        "ListFargateProfiles",
        "GET",
        ("clusters", "{name}", "fargate-profiles"),
        ListFargateProfilesRequest,
        ListFargateProfilesResponse,
        {"name": "clusterName"},
        {"maxResults": ("maxResults", False), "nextToken": ("nextToken", False)},
    ),
    Operation(
        "ListTagsForResource",
        "GET",
        ("tags", "{resourceArn}"),
        ListTagsForResourceRequest,
        ListTagsForResourceResponse,
        {"resourceArn": "resourceArn"},
        {},
    ),
    Operation(
        "TagResource",
        "POST",
        ("tags", "{resourceArn}"),
        TagResourceRequest,
        TagResourceResponse,
        {"resourceArn": "resourceArn"},
        {},
    ),
    Operation(
        "UntagResource",
        "DELETE",
        ("tags", "{resourceArn}"),
        UntagResourceRequest,
        UntagResourceResponse,
        {"resourceArn": "resourceArn"},
        {"tagKeys": ("tagKeys", True)},
    ),
)

UNIMPLEMENTED: Final = (
    Unimplemented(
        "ActivateCertificateAuthority",
        "POST",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}", "activate"),
    ),
    Unimplemented(
        "AssociateAccessPolicy",
        "POST",
        ("clusters", "{name}", "access-entries", "{principalArn}", "access-policies"),
    ),
    Unimplemented(
        "AssociateEncryptionConfig",
        "POST",
        ("clusters", "{name}", "encryption-config", "associate"),
    ),
    Unimplemented(
        "AssociateIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "associate"),
    ),
    Unimplemented(
        "CancelUpdate", "POST", ("clusters", "{name}", "updates", "{updateId}", "cancel-update")
    ),
    Unimplemented("CreateAccessEntry", "POST", ("clusters", "{name}", "access-entries")),
    Unimplemented("CreateAddon", "POST", ("clusters", "{name}", "addons")),
    Unimplemented("CreateCapability", "POST", ("clusters", "{name}", "capabilities")),
    Unimplemented(
        "CreateCertificateAuthority", "POST", ("clusters", "{name}", "certificate-authorities")
    ),
    Unimplemented("CreateCluster", "POST", ("clusters",)),
    Unimplemented("CreateEksAnywhereSubscription", "POST", ("eks-anywhere-subscriptions",)),
    Unimplemented("CreateNodegroup", "POST", ("clusters", "{name}", "node-groups")),
    Unimplemented(
        "CreatePodIdentityAssociation", "POST", ("clusters", "{name}", "pod-identity-associations")
    ),
    Unimplemented(
        "DeleteAccessEntry", "DELETE", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unimplemented("DeleteAddon", "DELETE", ("clusters", "{name}", "addons", "{addonName}")),
    Unimplemented(
        "DeleteCapability", "DELETE", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unimplemented(
        "DeleteCertificateAuthority",
        "DELETE",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}"),
    ),
    Unimplemented("DeleteCluster", "DELETE", ("clusters", "{name}")),
    Unimplemented(
        "DeleteEksAnywhereSubscription", "DELETE", ("eks-anywhere-subscriptions", "{id}")
    ),
    Unimplemented(
        "DeleteNodegroup", "DELETE", ("clusters", "{name}", "node-groups", "{nodegroupName}")
    ),
    Unimplemented(
        "DeletePodIdentityAssociation",
        "DELETE",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
    Unimplemented("DeregisterCluster", "DELETE", ("cluster-registrations", "{name}")),
    Unimplemented(
        "DescribeAccessEntry", "GET", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unimplemented("DescribeAddon", "GET", ("clusters", "{name}", "addons", "{addonName}")),
    Unimplemented("DescribeAddonConfiguration", "GET", ("addons", "configuration-schemas")),
    Unimplemented("DescribeAddonVersions", "GET", ("addons", "supported-versions")),
    Unimplemented(
        "DescribeCapability", "GET", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unimplemented(
        "DescribeCertificateAuthority",
        "GET",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}"),
    ),
    Unimplemented("DescribeClusterVersions", "GET", ("cluster-versions",)),
    Unimplemented("DescribeEksAnywhereSubscription", "GET", ("eks-anywhere-subscriptions", "{id}")),
    Unimplemented(
        "DescribeIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "describe"),
    ),
    Unimplemented("DescribeInsight", "GET", ("clusters", "{name}", "insights", "{id}")),
    Unimplemented("DescribeInsightsRefresh", "GET", ("clusters", "{name}", "insights-refresh")),
    Unimplemented(
        "DescribeNodegroup", "GET", ("clusters", "{name}", "node-groups", "{nodegroupName}")
    ),
    Unimplemented(
        "DescribePodIdentityAssociation",
        "GET",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
    Unimplemented("DescribeUpdate", "GET", ("clusters", "{name}", "updates", "{updateId}")),
    Unimplemented(
        "DisassociateAccessPolicy",
        "DELETE",
        (
            "clusters",
            "{name}",
            "access-entries",
            "{principalArn}",
            "access-policies",
            "{policyArn}",
        ),
    ),
    Unimplemented(
        "DisassociateIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "disassociate"),
    ),
    Unimplemented("ListAccessEntries", "GET", ("clusters", "{name}", "access-entries")),
    Unimplemented("ListAccessPolicies", "GET", ("access-policies",)),
    Unimplemented("ListAddons", "GET", ("clusters", "{name}", "addons")),
    Unimplemented(
        "ListAssociatedAccessPolicies",
        "GET",
        ("clusters", "{name}", "access-entries", "{principalArn}", "access-policies"),
    ),
    Unimplemented("ListCapabilities", "GET", ("clusters", "{name}", "capabilities")),
    Unimplemented(
        "ListCertificateAuthorities", "GET", ("clusters", "{name}", "certificate-authorities")
    ),
    Unimplemented("ListEksAnywhereSubscriptions", "GET", ("eks-anywhere-subscriptions",)),
    Unimplemented(
        "ListIdentityProviderConfigs", "GET", ("clusters", "{name}", "identity-provider-configs")
    ),
    Unimplemented("ListInsights", "POST", ("clusters", "{name}", "insights")),
    Unimplemented("ListNodegroups", "GET", ("clusters", "{name}", "node-groups")),
    Unimplemented(
        "ListPodIdentityAssociations", "GET", ("clusters", "{name}", "pod-identity-associations")
    ),
    Unimplemented("ListUpdates", "GET", ("clusters", "{name}", "updates")),
    Unimplemented("RegisterCluster", "POST", ("cluster-registrations",)),
    Unimplemented("StartInsightsRefresh", "POST", ("clusters", "{name}", "insights-refresh")),
    Unimplemented(
        "UpdateAccessEntry", "POST", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unimplemented("UpdateAddon", "POST", ("clusters", "{name}", "addons", "{addonName}", "update")),
    Unimplemented(
        "UpdateCapability", "POST", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unimplemented("UpdateClusterConfig", "POST", ("clusters", "{name}", "update-config")),
    Unimplemented("UpdateClusterVersion", "POST", ("clusters", "{name}", "updates")),
    Unimplemented("UpdateEksAnywhereSubscription", "POST", ("eks-anywhere-subscriptions", "{id}")),
    Unimplemented(
        "UpdateNodegroupConfig",
        "POST",
        ("clusters", "{name}", "node-groups", "{nodegroupName}", "update-config"),
    ),
    Unimplemented(
        "UpdateNodegroupVersion",
        "POST",
        ("clusters", "{name}", "node-groups", "{nodegroupName}", "update-version"),
    ),
    Unimplemented(
        "UpdatePodIdentityAssociation",
        "POST",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
)
"""Operations of the API that Monopod does not implement."""

STATUS: Final = {
    "AccessDeniedException": 403,
    "BadRequestException": 400,
    "ClientException": 400,
    "InvalidParameterException": 400,
    "InvalidRequestException": 400,
    "InvalidStateException": 400,
    "NotFoundException": 404,
    "ResourceInUseException": 409,
    "ResourceLimitExceededException": 400,
    "ResourceNotFoundException": 404,
    "ResourcePropagationDelayException": 428,
    "ServerException": 500,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnsupportedAvailabilityZoneException": 400,
}
"""The HTTP status of each error in the model."""
