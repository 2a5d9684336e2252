"""Settings of the job ``setup``: environment variables ``MONOPOD_SETUP_*``."""

from ipaddress import IPv4Network

from pydantic_settings import BaseSettings, SettingsConfigDict

from monopod.install.values import VPC_BLOCK


class SetupSettings(BaseSettings):
    """What the job makes."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_SETUP_", frozen=True)

    certificates: bool = True
    """Whether it makes the webhooks' certificate; otherwise something else, such as cert-manager,
    makes the Secret ``monopod-webhooks-tls`` and writes its authority into the configurations."""
    vpc_block: IPv4Network = IPv4Network(VPC_BLOCK)
    """Block of the Vpc ``default``, which its subnets share. Addresses of pods are not from it."""
