"""What cluster this is, in the EKS API's terms: names and ARNs (no I/O)."""

from dataclasses import dataclass

from monopod.eks.errors import EksError

_PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class ProfileArn:
    """What the ARN of a Fargate profile says."""

    profile: str
    uid: str


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster, its region and its account."""

    cluster: str
    region: str
    account: str
    unsupported_regions: frozenset[str] = frozenset()
    """Regions in which there are no Fargate profiles."""
    max_profiles: int = 10
    """Profiles that the cluster may have (source: EKS service quotas)."""

    @property
    def arn(self) -> str:
        """The cluster's ARN."""
        return f"{self._prefix}cluster/{self.cluster}"

    def profile_arn(self, profile: str, uid: str) -> str:
        """Return a profile's ARN; the object's uid is its last part, as each individual has one."""
        return f"{self._prefix}fargateprofile/{self.cluster}/{profile}/{uid}"

    def user_arn(self, user: str) -> str:
        """Return how a user is called in refusals."""
        return f"arn:{_PARTITION}:iam::{self.account}:user/{user}"

    def read_arn(self, arn: str) -> ProfileArn | None:
        """Return which profile an ARN is of; None for the cluster's own.

        Raises:
            EksError: It is of nothing in this cluster.
        """
        if arn == self.arn:
            return None
        if not arn.startswith("arn:"):
            raise EksError("BadRequestException", f"Invalid resource ARN: {arn[:300]}")
        before = f"{self._prefix}fargateprofile/{self.cluster}/"
        name, slash, uid = arn.removeprefix(before).partition("/")
        if not arn.startswith(before) or not (name and slash and uid) or "/" in uid:
            raise no_such_resource(arn)
        return ProfileArn(name, uid)

    def require(self, cluster: str) -> None:
        """Check that a cluster is this one.

        Raises:
            EksError: It is another.
        """
        if cluster != self.cluster:
            raise EksError(
                "ResourceNotFoundException",
                f"No cluster found for name: {cluster}.",
                404,
                cluster=cluster,
            )

    @property
    def _prefix(self) -> str:
        return f"arn:{_PARTITION}:eks:{self.region}:{self.account}:"


def no_such_resource(arn: str) -> EksError:
    """Return the refusal of an ARN of nothing; the tags' operations have an error of their own."""
    return EksError("NotFoundException", f"Not found: {arn[:300]}", 404)
