"""From a data set on disk to a pair store, in parallel, in order, and resumable at any moment."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from glamor_cli.data.data_sets.data_set import DataSet, Layout, Record
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.pair_making import (
    MadePair,
    deciding_versions,
    detector_of_thread,
    lost_pair,
    make_pairs,
)
from glamor_cli.data.preprocess.process_pool import leave_if_worker
from glamor_cli.data.preprocess.progress import Failure, PreprocessProgress, PreprocessReport
from glamor_cli.data.preprocess.source_summary import Source, is_reachable, summarise
from glamor_cli.data.preprocess.workers import Workers, process_pool, run_in_order
from glamor_cli.data.store.format import Counts, StoreInfo
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.data.store.writer import SplitWriter, StoreWriter
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.settings import require_positive, settle_paths
from glamor_cli.system.cpus import available_cpus
from glamor_cli.vision.heif import HEIF_PACKAGE, HEIF_SUFFIXES, say_how
from glamor_cli.vision.status import Status


@dataclass(frozen=True)
class PreprocessConfig:
    """What to preprocess, and how.

    Attributes:
        source: The data set: a folder or a manifest ``.csv``.
        out: The store's folder.
        making: How pairs are made.
        split: Of a data set with splits, the only one to take; of one without, what to call it.
        workers: Processes. With more than one, a script calls ``preprocess`` under
            ``if __name__ == "__main__":``, because each process imports the script first.
        isolated: With one worker, let it be a process of its own, so that an image that kills its
            reader does not end this one; else all happens in this one.
        dask: Address of a Dask cluster's scheduler, whose workers are used instead.
        images_per_task: How many images a worker takes at a time.
    """

    source: Path
    out: Path
    making: PairMaking = field(default_factory=PairMaking)
    split: str | None = None
    workers: int = field(default_factory=available_cpus)
    isolated: bool = False
    dask: str | None = None
    images_per_task: int = 8

    def __post_init__(self) -> None:
        settle_paths(self, "source", "out")


def preprocess(
    config: PreprocessConfig,
    *,
    workers: Workers | None = None,
    on_progress: Callable[[PreprocessProgress], None] = lambda _: None,
    on_no_worker: Callable[[], None] = lambda: None,
) -> PreprocessReport:
    """Make the pair store of a data set, or go on with one where an earlier run stopped.

    Images that cannot be used are recorded and passed over. However the run ends, what is done is
    kept, and the same call goes on from there; the finished store's bytes are the same.

    Args:
        config: What and how.
        workers: Where the work is done, if not where the config says.
        on_progress: Called after every few images.
        on_no_worker: Called, perhaps from another thread, when the Dask cluster has no worker; the
            work then waits for one.

    Raises:
        DataError: The data set is empty, wrong, changes or vanishes, a worker cannot see it, or
            workers die whatever they run.
        ConfigError: The settings do not fit the data set or a store begun before, the folder
            cannot be written to, a worker has other packages or none, no cluster answers, or a
            script asks for several workers without ``if __name__ == "__main__":``.
        BackendUnavailable: The detector, the JPEG step or Dask is not installed, or the system lets
            no more workers be started.
    """
    leave_if_worker()
    started = time.monotonic()
    # A cluster's workers run in folders of their own.
    where = config.source.absolute() if config.dask else config.source
    data_set = open_data_set(where, split=config.split)
    _check(config, data_set)
    config = _with_boxes_decided(config, data_set)
    source = summarise(data_set, box_files=config.making.boxes is BoxSource.CROP_FILES)
    if not any(summary.images for summary in source.splits.values()):
        raise _without_images(config.source, data_set.count_unread())
    info = _describe(config.making, data_set, source)
    with StoreWriter.open(config.out, info) as store:
        run = _Run(
            config,
            data_set,
            source,
            versions=info.versions,
            is_local=workers is None and config.dask is None,
            started=started,
            on_progress=on_progress,
        )
        if store.info.complete:
            run.take_finished(PairStore.open(config.out))
        else:
            with _pool(config, workers, on_no_worker) as pool:
                for name in data_set.splits:
                    with store.split(name) as split:
                        run.fill(split, name, pool)
            run.check_unchanged()
            store.finish(run.counts)
        return run.report()


class _Run:
    """What one call of ``preprocess`` has done so far."""

    def __init__(
        self,
        config: PreprocessConfig,
        data_set: DataSet,
        source: Source,
        *,
        versions: dict[str, str],
        is_local: bool,
        started: float,
        on_progress: Callable[[PreprocessProgress], None],
    ) -> None:
        self.counts: dict[str, Counts] = {}
        self._config = config
        self._data_set = data_set
        self._source = source
        self._is_local = is_local
        self._total = sum(summary.images for summary in source.splits.values())
        self._make = partial(make_pairs, making=config.making, versions=versions)
        self._on_progress = on_progress
        self._failures: list[Failure] = []
        self._resumed = 0
        self._started = started

    def fill(self, split: SplitWriter, name: str, pool: Workers | None) -> None:
        """Store what is left of a split."""
        self._resumed += split.counts.read
        self.counts[name] = split.counts
        left = self._data_set.records(name, start=split.counts.read)
        tasks = _chunks(left, self._config.images_per_task)
        for made in run_in_order(self._make, tasks, pool, lost=lost_pair):
            for pair in made:
                self._check_source(pair)
                split.add(pair.entry, pair.pixels)
            self.counts[name] = split.counts
            self._show()
        if split.counts.read != self._source.splits[name].images:
            raise _changed()
        split.finish()
        self._failures += [Failure(*failure) for failure in split.failures]

    def check_unchanged(self) -> None:
        """Go through the data set again: the store tells what it was made of.

        Raises:
            DataError: The data set is no longer what it was when this run began, as far as
            `summarise` sees.
        """
        box_files = self._config.making.boxes is BoxSource.CROP_FILES
        if summarise(self._data_set, box_files=box_files).splits != self._source.splits:
            raise _changed()

    def take_finished(self, store: PairStore) -> None:
        """Take the numbers of a store that was finished before."""
        self.counts = store.info.counts
        self._resumed = self._total
        self._failures = [
            Failure(entry.source, entry.reason)
            for name in store.splits
            if self.counts[name].failed
            for entry in store.entries(name)
            if entry.status is Status.ERROR
        ]
        self._show()

    def report(self) -> PreprocessReport:
        """Sum up."""
        progress = self._progress()
        return PreprocessReport(
            read=progress.read,
            stored=sum(counts.stored for counts in self.counts.values()),
            no_face=progress.no_face,
            failed=tuple(self._failures),
            boxes=self._config.making.boxes,
            resumed=self._resumed,
            seconds=time.monotonic() - self._started,
            images_per_second=progress.images_per_second,
            left_out=dict(self._data_set.count_unread()),
        )

    def _check_source(self, pair: MadePair) -> None:
        """Tell an unusable image from a data set that is gone."""
        path = pair.missing
        if path is None or not self._source.absent.isdisjoint((path, path.parent)):
            return
        if is_reachable(path):
            if self._is_local:
                raise DataError(
                    f"{path} was gone for a moment",
                    "Run the same command again: it goes on from here.",
                )
            raise DataError(
                f"a worker cannot see {path}, which this process can see",
                "Mount the data set at the same place on every machine of the cluster.",
            )
        raise DataError(
            f"{path} has disappeared from the data set",
            "Restore it and run the same command again: it goes on from here.",
        )

    def _progress(self) -> PreprocessProgress:
        read = sum(counts.read for counts in self.counts.values())
        elapsed = max(time.monotonic() - self._started, 1e-9)
        return PreprocessProgress(
            total=self._total,
            read=read,
            no_face=sum(counts.no_face for counts in self.counts.values()),
            failed=sum(counts.failed for counts in self.counts.values()),
            images_per_second=(read - self._resumed) / elapsed,
        )

    def _show(self) -> None:
        self._on_progress(self._progress())


def _without_images(source: Path, unread: Mapping[str, int]) -> DataError:
    if not unread:
        return DataError(
            f"{source} holds no images",
            "Put images into its class folders first; of videos, save single frames there.",
        )
    return DataError(
        f"{source} holds no images of a supported kind, only {', '.join(sorted(unread))}",
        "Convert them to JPEG or PNG." if HEIF_SUFFIXES.isdisjoint(unread) else say_how(),
    )


def _changed() -> DataError:
    return DataError(
        "the data set changed while it was being preprocessed", "Preprocess it into a new folder."
    )


def _check(config: PreprocessConfig, data_set: DataSet) -> None:
    """Refuse what cannot work before anything is written."""
    require_positive(config.workers, "the number of workers", "--workers")
    require_positive(config.images_per_task, "the number of images per task", "images_per_task")
    if data_set.searches(config.out):
        raise ConfigError(
            f"the store {config.out} would lie inside the data set and become part of it",
            "Choose a folder elsewhere.",
        )


def _with_boxes_decided(config: PreprocessConfig, data_set: DataSet) -> PreprocessConfig:
    """Decide what AUTO means for a data set, and refuse boxes that it does not have.

    Raises:
        ConfigError: It has not the boxes that are asked for; or, with AUTO, only some of its splits
            have any, and faces framed in two ways would be mixed.
    """
    asked = config.making.boxes
    if asked not in (BoxSource.AUTO, BoxSource.CROP_FILES, BoxSource.MANIFEST):
        return config
    own = BoxSource.MANIFEST if data_set.layout is Layout.MANIFEST else BoxSource.CROP_FILES
    boxed = data_set.find_boxed_splits()
    if asked is BoxSource.AUTO:
        others = [name for name in data_set.splits if name not in boxed]
        if boxed and others:
            raise ConfigError(
                f"{config.source} has boxes for {', '.join(boxed)}, but not for "
                f"{', '.join(others)}",
                f"Detect all faces with --boxes {BoxSource.DETECT}, or take the splits one by one "
                "with --split.",
            )
        boxes = own if boxed else BoxSource.DETECT
        return replace(config, making=replace(config.making, boxes=boxes))
    if asked is own and boxed:
        return config
    if asked is BoxSource.CROP_FILES:
        raise ConfigError(
            f"{config.source} has no folder 'crop' with box files",
            "Put crop/<split>/<Class>/<name>.txt beside the images, or use --boxes detect.",
        )
    raise ConfigError(
        f"{config.source} is not a manifest with boxes in columns x1,y1,x2,y2",
        "Give a manifest .csv that has them, or use --boxes detect.",
    )


def _pool(
    config: PreprocessConfig, workers: Workers | None, on_no_worker: Callable[[], None]
) -> AbstractContextManager[Workers | None]:
    """Choose where the work is done; None is this process."""
    if workers is not None:
        return nullcontext(workers)
    if config.dask is not None:
        # Imported here because few have Dask.
        from glamor_cli.data.preprocess.cluster import dask_workers

        return dask_workers(config.dask, on_no_worker)
    if config.workers == 1 and not config.isolated:
        return nullcontext()
    return process_pool(config.workers)


def _describe(making: PairMaking, data_set: DataSet, source: Source) -> StoreInfo:
    """Say how the store is made; this also finds out early whether the detector is installed."""
    detector = detector_of_thread(making.detector) if making.boxes is BoxSource.DETECT else None
    versions = dict(deciding_versions(making))
    if not source.has_heif:
        versions.pop(HEIF_PACKAGE, None)
    return StoreInfo(
        boxes=making.boxes.value,
        detector=detector.kind.value if detector else None,
        detector_settings=dict(detector.settings) if detector else {},
        official_jpeg=making.official_jpeg,
        skip_no_face=making.skip_no_face,
        versions=versions,
        source=source.splits,
        soft_labels=data_set.has_targets,
    )


def _chunks(records: Iterator[Record], size: int) -> Iterator[tuple[Record, ...]]:
    while chunk := tuple(itertools.islice(records, size)):
        yield chunk
