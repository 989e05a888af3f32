"""An authority of a test's own, with certificates that it gave: for this machine, and for clients."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import output_of
from tests.support.ports import LOOPBACK


class Authority:
    """Signs certificates. Made with `openssl`; `ca` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        """Make the authority.

        Args:
            folder: for keys and certificates.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            *("req", "-x509", *_NEW_KEY, "-subj", "/CN=Test authority", "-days", "2"),
            *("-keyout", str(self._key), "-out", str(self.ca)),
        )

    def certificate(self, name: str, *, names: str = f"IP:{LOOPBACK},DNS:localhost") -> tuple[Path, Path]:
        """A new certificate and its key.

        Args:
            name: of the files.
            names: whom it is for, as OpenSSL spells it.
        """
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, extension = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={names}\n")
        self._openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        self._openssl(
            *("x509", "-req", "-in", str(request), "-days", "2", "-extfile", str(extension)),
            *("-CA", str(self.ca), "-CAkey", str(self._key), "-CAcreateserial", "-out", str(certificate)),
        )
        return certificate, key

    def _openssl(self, *arguments: str) -> None:
        output_of(["openssl", *arguments])


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
