"""``monopod install``: installs Monopod into any cluster."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer
import yaml

from monopod.api import keys
from monopod.cli.screen import Screen
from monopod.install import installer
from monopod.install.images import CONTROLLERS, LAUNCHER, LAUNCHER_LINUX
from monopod.install.installation import installation
from monopod.install.release import verified
from monopod.install.values import VPC_BLOCK, Values
from monopod.kube import connect
from monopod.node.provider.launcher_settings import DRIVERS, need_linux_image, parse_drivers

_USER_AGENT: Final = "monopod-install"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def install(  # pyright: ignore[reportUnusedFunction]
        *,
        controllers_image: Annotated[
            str, typer.Option(help="Reference of the image monopod/controllers.")
        ] = "",
        launcher_image: Annotated[
            str, typer.Option(help="Reference of the image monopod/launcher.")
        ] = "",
        launcher_linux_image: Annotated[
            str,
            typer.Option(help="Reference of the image monopod/launcher-linux, for other drivers."),
        ] = "",
        drivers: Annotated[
            str,
            typer.Option(
                help=f"Drivers of launcher pods, of {', '.join(DRIVERS)}; separated by commas."
            ),
        ] = keys.DRIVER_GVISOR,
        release: Annotated[
            Path | None,
            typer.Option(
                help="A signed release, in place of references: its images are run by digest."
            ),
        ] = None,
        verify_key: Annotated[
            Path | None, typer.Option(help="PEM of the public key that signed the release.")
        ] = None,
        registry: Annotated[
            str,
            typer.Option(help="Where a release's images are: registry.example.com/monopod."),
        ] = "",
        kubeconfig: Annotated[
            Path | None, typer.Option(help="An administrator's kubeconfig.", envvar="KUBECONFIG")
        ] = None,
        cluster: Annotated[str, typer.Option(help="The cluster's name.")] = "monopod",
        region: Annotated[str, typer.Option(help="The region in names of nodes.")] = "local-1",
        vpc_block: Annotated[
            str, typer.Option(help="Block of the default Vpc; pods have the CNI plug-in's.")
        ] = VPC_BLOCK,
        api_server: Annotated[
            str, typer.Option(help="URL by which guests reach the API server.")
        ] = "",
        cluster_dns: Annotated[str, typer.Option(help="Address of the cluster's DNS.")] = "",
        user_namespaces: Annotated[
            bool, typer.Option(help="Give each launcher pod a user namespace.")
        ] = True,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the objects as YAML, apply none.")
        ] = False,
    ) -> None:
        """Install Monopod into the cluster of a kubeconfig, or upgrade it. Idempotent."""
        if release is not None:
            if controllers_image or launcher_image or verify_key is None or not registry:
                raise typer.BadParameter(
                    "--release needs --verify-key and --registry, and excludes references of images"
                )
            known = verified(release, verify_key)
            controllers_image = known.reference(CONTROLLERS, registry)
            launcher_image = known.reference(LAUNCHER, registry)
            if LAUNCHER_LINUX in known.images:
                launcher_linux_image = known.reference(LAUNCHER_LINUX, registry)
        elif not controllers_image or not launcher_image:
            raise typer.BadParameter(
                "name --controllers-image and --launcher-image, or a signed --release"
            )
        values = Values(
            controllers_image=controllers_image,
            launcher_image=launcher_image,
            launcher_linux_image=launcher_linux_image,
            drivers=_checked(drivers, launcher_linux_image),
            cluster=cluster,
            region=region,
            vpc_block=vpc_block,
            api_server=api_server,
            cluster_dns=cluster_dns,
            user_namespaces=str(user_namespaces).lower(),
        )
        if dry_run:
            typer.echo(yaml.safe_dump_all(installation(values).every, sort_keys=False), nl=False)
            return
        if kubeconfig is None:
            raise typer.BadParameter("name an administrator's kubeconfig with --kubeconfig")
        asyncio.run(_install(kubeconfig, values))


def _checked(drivers: str, linux_image: str) -> str:
    """Return the drivers as settings of the controllers have them.

    Raises:
        BadParameter: One is unknown, or the image for one is not named.
    """
    try:
        named = parse_drivers(drivers)
    except ValueError as error:
        raise typer.BadParameter(f"--drivers: {error}") from None
    if need_linux_image(named) and not linux_image:
        raise typer.BadParameter(
            f"--drivers names others than {keys.DRIVER_GVISOR}: name --launcher-linux-image, or"
            f" a release that has {LAUNCHER_LINUX}"
        )
    return ",".join(named)


async def _install(kubeconfig: Path, values: Values) -> None:
    with Screen() as screen:
        async with connect(kubeconfig, _USER_AGENT) as client:
            await installer.install(client, installation(values), screen.report)
        screen.console.print(
            "Monopod is installed. Next: create a FargateProfile for a namespace,"
            " see docs/how-to/install-into-a-cluster.md",
            soft_wrap=True,
        )
