"""The identity of this cluster in the EKS API: names and ARNs (no I/O)."""

from dataclasses import dataclass

from monopod.eksapi.errors import EksError

_PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class ProfileArn:
    """The parts of a Fargate profile's ARN."""

    profile: str
    uid: str


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster, its region and its account."""

    cluster: str
    region: str
    account: str
    unsupported_regions: frozenset[str] = frozenset()
    """Regions without Fargate profiles."""
    max_profiles: int = 10
    """Maximum number of profiles (source: EKS service quotas)."""

    @property
    def arn(self) -> str:
        """The cluster's ARN."""
        return f"{self._prefix}cluster/{self.cluster}"

    def profile_arn(self, profile: str, uid: str) -> str:
        """Return a profile's ARN; its last part is the object's uid, unique to each profile."""
        return f"{self._prefix}fargateprofile/{self.cluster}/{profile}/{uid}"

    def user_arn(self, user: str) -> str:
        """Return a user's ARN for error messages."""
        return f"arn:{_PARTITION}:iam::{self.account}:user/{user}"

    def read_arn(self, arn: str) -> ProfileArn | None:
        """Return the profile that an ARN names; None means the cluster itself.

        Raises:
            EksError: It names no resource of this cluster.
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
        """Check that a name is this cluster's.

        Raises:
            EksError: It is another cluster's.
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
    """Return the error for an unknown ARN, which only the operations on tags return."""
    return EksError("NotFoundException", f"Not found: {arn[:300]}", 404)
