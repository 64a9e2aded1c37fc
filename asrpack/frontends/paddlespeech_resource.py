"""The child's side of :mod:`asrpack.frontends.paddlespeech_tag`: PaddleSpeech's own resource code.

Run as a program: a tag in ``argv[1]``, one JSON object as the last line of standard output. Its
``CommonTaskResource.set_task_model`` would report each download to PaddleSpeech's statistics, so
its table and its downloader are called without it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

OFFLINE = "ASRPACK_NO_DOWNLOAD"


def resolve(tag: str) -> dict[str, Any]:
    """Where a tag's model is, fetched if it is not there.

    Returns:
        ``path`` and ``checkpoint``; or ``tags`` where there is no such tag; or ``failed`` with
        ``url``, ``md5`` and ``folder`` where it cannot be fetched.
    """
    from paddlespeech.cli import download
    from paddlespeech.resource import CommonTaskResource
    from paddlespeech.utils.env import MODEL_HOME

    resource = CommonTaskResource(task="asr", model_format="dynamic")
    if tag not in resource.pretrained_models:
        return {"tags": list(resource.pretrained_models)}
    version = resource.get_versions(tag)[-1]
    entry = resource.pretrained_models[tag][version]
    folder = Path(MODEL_HOME) / tag / version
    folder.mkdir(parents=True, exist_ok=True)
    found = {"checkpoint": f"{entry['ckpt_path']}.pdparams", "version": version}
    # An archive that was unpacked by hand has a folder of any name.
    for config in sorted(folder.glob(f"*/{entry['cfg_path']}")):
        if (config.parent / found["checkpoint"]).is_file():
            return {**found, "path": str(config.parent)}
    where = {"url": entry["url"], "md5": entry["md5"], "folder": str(folder)}
    archive = folder / os.path.basename(entry["url"])  # noqa: PTH119 - of a URL
    try:
        if os.environ.get(OFFLINE) and not archive.is_file():
            raise OSError(f"{OFFLINE} is set")
        path = download.get_path_from_url(entry["url"], str(folder), entry["md5"])
    # Its downloader raises whatever requests and tarfile raise.
    except Exception as error:
        return {**where, "failed": str(error).splitlines()[0] if str(error) else repr(error)}
    return {**found, "path": str(path)}


if __name__ == "__main__":
    # PaddleSpeech prints and logs to standard output as it likes.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer.write(json.dumps(resolve(sys.argv[1])) + "\n")
    answer.flush()
    os._exit(0)  # Paddle's exit handlers are known to crash
