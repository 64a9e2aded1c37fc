"""The service under a licence."""

from __future__ import annotations

from pathlib import Path

from asrpack.bundle.licence_body import DAY
from asrpack.runtime.recognizer import Recognizer
from tests.licence.test_lease import drop_in
from tests.licence.test_runtime import vendor_of
from tests.licence.vendor import NOW, FakeHost
from tests.runtime import tiny
from tests.runtime.conftest import Sealed, sealed_once
from tests.runtime.service.in_process import make_app, request
from tests.runtime.service.test_server import PATH, recorded

__all__ = ["sealed_once"]


def test_streams_days_left_the_end_and_a_renewal(
    sealed_once: Sealed, host: FakeHost, tmp_path: Path
) -> None:
    vendor, path = vendor_of(sealed_once), tmp_path / "licence.json"
    path.write_bytes(vendor.issue(streams=1))
    recognizer = Recognizer(
        tiny.describe(), tiny.graphs(), threads=1, lease=host.open(path, vendor)
    )
    app, engine = make_app(recognizer)
    files = {"file": ("a.wav", recorded(1))}
    assert request(app, "POST", PATH, files=files).status_code == 200
    with engine.job():
        found = request(app, "POST", PATH, files=files)
        assert (found.status_code, found.json()["error"]["code"]) == (429, "licence-streams")
        assert found.headers["retry-after"] == "1" and str(tmp_path) not in found.text
    told = request(app, "GET", "/health").json()
    assert told["licensed"] and 29 <= told["licence_days_left"] <= 30
    days = f"asrpack_licence_days_left {recognizer.lease.days_left()}"
    assert days in request(app, "GET", "/metrics").text and 29 < recognizer.lease.days_left() <= 30
    host.passes(31 * DAY)
    found = request(app, "POST", PATH, files=files)
    assert (found.status_code, found.json()["error"]["code"]) == (503, "licence-expired")
    assert request(app, "GET", "/ready").status_code == 503
    assert request(app, "GET", "/health").json()["licence_days_left"] <= 0
    drop_in(path, vendor.renew(path.read_bytes(), issued=NOW + 31 * DAY))
    assert request(app, "POST", PATH, files=files).status_code == 200
    assert request(app, "GET", "/ready").status_code == 200
    engine.close()
