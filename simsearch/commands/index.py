"""`--mode=index`: a folder of images into an index that is kept up to date."""

from collections.abc import Mapping
from typing import Any

from simsearch import errors, hardware, progress, runs, wording
from simsearch.commands import discriminant
from simsearch.index import Index, SyncReport, files, model
from simsearch.index import metadata as metadata_lib

_NUM_NAMED = 10


def main(
    *,
    images: str | None,
    version: int | None,
    workdir: str,
    index: str,
    labels: str | None,
    overrides: Mapping[str, Any],
) -> SyncReport:
    """Synchronises an index with a folder and says what changed.

    Args:
        images: The folder.
        version: Of the model; None: the index's own, and the newest for a new index.
        workdir: Folder of the versions.
        index: URL of the index.
        labels: CSV file of labels and metadata.
        overrides: Fields of the version's configuration that make no other model of it.

    Raises:
        UsageError: Where the folder, the file, the version or the engine is not there.
    """
    if not images:
        raise errors.UsageError("--mode=index needs --images=DIR, the folder of images to index")
    # A wrong path is told before the model is loaded, and before an index is made.
    files.check(files.root_of(images))
    if labels is not None:
        metadata_lib.read_csv(labels)
    with Index.open(
        index, version=version, workdir=workdir, create=True, overrides=overrides
    ) as opened:
        hardware.log_devices(opened.embedder.config.train.num_devices)
        info = opened.info
        progress.log.info(
            "index %s (%s), model: version %s, %s, %d dimensions",
            info.url,
            info.engine,
            info.version,
            info.backbone,
            info.embedding_size,
        )
        if info.replaces:
            progress.log.info(
                "the index there is of %s: its vectors are replaced when every image is embedded "
                "anew",
                info.replaces,
            )
        if info.version is not None:
            discriminant.warn(runs.find(workdir, info.version))
        report = opened.sync(images, labels_csv=labels)
        _log_report(report, total=len(opened))
        if info.replaces:
            progress.log.info("replaced the vectors of %s by these", info.replaces)
        if not len(opened):
            raise errors.RunError(f"the index is empty: no image below {images} could be read")
        progress.log.info(
            "search it: python main.py --mode=search --query=FILE%s",
            model.place(info.url, workdir),
        )
    return report


def _log_report(report: SyncReport, *, total: int) -> None:
    speed = f", {report.images_per_second:.1f} images/s" if report.images_per_second else ""
    progress.log.info(
        "%d added, %d replaced, %d deleted, %d untouched%s; the index holds %s",
        report.added,
        report.replaced,
        report.deleted,
        report.untouched,
        speed,
        wording.counted(total, "image"),
    )
    if report.unreadable:
        progress.log.warning(
            "%s could not be read: %s%s",
            wording.counted(len(report.unreadable), "file"),
            ", ".join(f"{path} ({why})" for path, why in report.unreadable[:_NUM_NAMED]),
            ", …" if len(report.unreadable) > _NUM_NAMED else "",
        )
