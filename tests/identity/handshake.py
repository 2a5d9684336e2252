"""Whether a client that trusts some authorities accepts a server, as OpenSSL decides."""

import ssl
from pathlib import Path


def accepts(trusted: bytes, certificate: Path, key: Path) -> bool:
    """Whether a client accepts the server ``a.b`` with this certificate.

    Args:
        trusted: PEM of the authorities that the client trusts.
        certificate: The server's, PEM.
        key: Its key, PEM.
    """
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, key)
    asking = ssl.create_default_context(cadata=trusted.decode())
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(down, up, server_hostname="a.b")
    server = serving.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client.version() is not None
