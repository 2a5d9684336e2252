"""The EKS API's structures and operations, written by ``tools/generate_eks_wire.py``: do not edit.

Source: botocore's service model ``eks/2017-11-01``. Field names are the wire's, hence camelCase;
times are seconds since the epoch.
"""

from typing import Final, Literal

from msgspec import Struct

from monopod.eksapi.operation import Operation, Unanswered


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

UNANSWERED: Final = (
    Unanswered(
        "ActivateCertificateAuthority",
        "POST",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}", "activate"),
    ),
    Unanswered(
        "AssociateAccessPolicy",
        "POST",
        ("clusters", "{name}", "access-entries", "{principalArn}", "access-policies"),
    ),
    Unanswered(
        "AssociateEncryptionConfig",
        "POST",
        ("clusters", "{name}", "encryption-config", "associate"),
    ),
    Unanswered(
        "AssociateIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "associate"),
    ),
    Unanswered(
        "CancelUpdate", "POST", ("clusters", "{name}", "updates", "{updateId}", "cancel-update")
    ),
    Unanswered("CreateAccessEntry", "POST", ("clusters", "{name}", "access-entries")),
    Unanswered("CreateAddon", "POST", ("clusters", "{name}", "addons")),
    Unanswered("CreateCapability", "POST", ("clusters", "{name}", "capabilities")),
    Unanswered(
        "CreateCertificateAuthority", "POST", ("clusters", "{name}", "certificate-authorities")
    ),
    Unanswered("CreateCluster", "POST", ("clusters",)),
    Unanswered("CreateEksAnywhereSubscription", "POST", ("eks-anywhere-subscriptions",)),
    Unanswered("CreateNodegroup", "POST", ("clusters", "{name}", "node-groups")),
    Unanswered(
        "CreatePodIdentityAssociation", "POST", ("clusters", "{name}", "pod-identity-associations")
    ),
    Unanswered(
        "DeleteAccessEntry", "DELETE", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unanswered("DeleteAddon", "DELETE", ("clusters", "{name}", "addons", "{addonName}")),
    Unanswered(
        "DeleteCapability", "DELETE", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unanswered(
        "DeleteCertificateAuthority",
        "DELETE",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}"),
    ),
    Unanswered("DeleteCluster", "DELETE", ("clusters", "{name}")),
    Unanswered("DeleteEksAnywhereSubscription", "DELETE", ("eks-anywhere-subscriptions", "{id}")),
    Unanswered(
        "DeleteNodegroup", "DELETE", ("clusters", "{name}", "node-groups", "{nodegroupName}")
    ),
    Unanswered(
        "DeletePodIdentityAssociation",
        "DELETE",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
    Unanswered("DeregisterCluster", "DELETE", ("cluster-registrations", "{name}")),
    Unanswered(
        "DescribeAccessEntry", "GET", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unanswered("DescribeAddon", "GET", ("clusters", "{name}", "addons", "{addonName}")),
    Unanswered("DescribeAddonConfiguration", "GET", ("addons", "configuration-schemas")),
    Unanswered("DescribeAddonVersions", "GET", ("addons", "supported-versions")),
    Unanswered(
        "DescribeCapability", "GET", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unanswered(
        "DescribeCertificateAuthority",
        "GET",
        ("clusters", "{name}", "certificate-authorities", "{certificateAuthorityId}"),
    ),
    Unanswered("DescribeClusterVersions", "GET", ("cluster-versions",)),
    Unanswered("DescribeEksAnywhereSubscription", "GET", ("eks-anywhere-subscriptions", "{id}")),
    Unanswered(
        "DescribeIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "describe"),
    ),
    Unanswered("DescribeInsight", "GET", ("clusters", "{name}", "insights", "{id}")),
    Unanswered("DescribeInsightsRefresh", "GET", ("clusters", "{name}", "insights-refresh")),
    Unanswered(
        "DescribeNodegroup", "GET", ("clusters", "{name}", "node-groups", "{nodegroupName}")
    ),
    Unanswered(
        "DescribePodIdentityAssociation",
        "GET",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
    Unanswered("DescribeUpdate", "GET", ("clusters", "{name}", "updates", "{updateId}")),
    Unanswered(
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
    Unanswered(
        "DisassociateIdentityProviderConfig",
        "POST",
        ("clusters", "{name}", "identity-provider-configs", "disassociate"),
    ),
    Unanswered("ListAccessEntries", "GET", ("clusters", "{name}", "access-entries")),
    Unanswered("ListAccessPolicies", "GET", ("access-policies",)),
    Unanswered("ListAddons", "GET", ("clusters", "{name}", "addons")),
    Unanswered(
        "ListAssociatedAccessPolicies",
        "GET",
        ("clusters", "{name}", "access-entries", "{principalArn}", "access-policies"),
    ),
    Unanswered("ListCapabilities", "GET", ("clusters", "{name}", "capabilities")),
    Unanswered(
        "ListCertificateAuthorities", "GET", ("clusters", "{name}", "certificate-authorities")
    ),
    Unanswered("ListEksAnywhereSubscriptions", "GET", ("eks-anywhere-subscriptions",)),
    Unanswered(
        "ListIdentityProviderConfigs", "GET", ("clusters", "{name}", "identity-provider-configs")
    ),
    Unanswered("ListInsights", "POST", ("clusters", "{name}", "insights")),
    Unanswered("ListNodegroups", "GET", ("clusters", "{name}", "node-groups")),
    Unanswered(
        "ListPodIdentityAssociations", "GET", ("clusters", "{name}", "pod-identity-associations")
    ),
    Unanswered("ListUpdates", "GET", ("clusters", "{name}", "updates")),
    Unanswered("RegisterCluster", "POST", ("cluster-registrations",)),
    Unanswered("StartInsightsRefresh", "POST", ("clusters", "{name}", "insights-refresh")),
    Unanswered(
        "UpdateAccessEntry", "POST", ("clusters", "{name}", "access-entries", "{principalArn}")
    ),
    Unanswered("UpdateAddon", "POST", ("clusters", "{name}", "addons", "{addonName}", "update")),
    Unanswered(
        "UpdateCapability", "POST", ("clusters", "{name}", "capabilities", "{capabilityName}")
    ),
    Unanswered("UpdateClusterConfig", "POST", ("clusters", "{name}", "update-config")),
    Unanswered("UpdateClusterVersion", "POST", ("clusters", "{name}", "updates")),
    Unanswered("UpdateEksAnywhereSubscription", "POST", ("eks-anywhere-subscriptions", "{id}")),
    Unanswered(
        "UpdateNodegroupConfig",
        "POST",
        ("clusters", "{name}", "node-groups", "{nodegroupName}", "update-config"),
    ),
    Unanswered(
        "UpdateNodegroupVersion",
        "POST",
        ("clusters", "{name}", "node-groups", "{nodegroupName}", "update-version"),
    ),
    Unanswered(
        "UpdatePodIdentityAssociation",
        "POST",
        ("clusters", "{name}", "pod-identity-associations", "{associationId}"),
    ),
)
"""What else the API has."""

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
"""The HTTP status of each error that the model has."""
