"""Files of a dataset below one folder, which is local or on any file system that pyarrow reaches."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.paths import stage_dir, write_atomic


def dataset_path(config: Config) -> str:
    """Folder or URI of the dataset that ``config`` records."""
    return config.record.path or str(stage_dir(config, "dataset"))


class Storage:
    """Reads and writes files by their name below ``location``, which may be pickled along to other nodes."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.filesystem, self.root = _resolve(location)
        self.local = isinstance(self.filesystem, fs.LocalFileSystem)

    def read(self, name: str) -> bytes:
        """The whole content of a file; FileNotFoundError when there is none."""
        with self._reaching(), self.filesystem.open_input_stream(self._path(name)) as stream:
            content: bytes = stream.read()
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        if self.local:
            write_atomic(Path(self._path(name)), content)
            return
        path = self._path(name)
        folder, _, base = path.rpartition("/")
        with self._reaching():
            self.filesystem.create_dir(folder, recursive=True)
            with self.filesystem.open_output_stream(f"{folder}/.{base}.part") as stream:
                stream.write(content)
            self.filesystem.move(f"{folder}/.{base}.part", path)

    def write_json(self, name: str, value: Any) -> None:
        """Write ``value`` as indented JSON, whole or not at all."""
        self.write(name, (json.dumps(value, indent=2) + "\n").encode())

    def read_json(self, name: str, what: str, remedy: str) -> Any:
        """Parse a JSON file; a missing or broken one is a UserError that names ``what`` and ``remedy``."""
        try:
            return json.loads(self.read(name))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no {what} at {self.location}: {remedy}") from None
        except ValueError:
            raise UserError(f"{self.describe(name)} is damaged (not JSON): {remedy}") from None

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with self._reaching():
            return bool(self.filesystem.get_file_info(self._path(name)).is_file)

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file directly in ``folder``, by name below the root; half-written ones left out."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        with self._reaching():
            found = self.filesystem.get_file_info(selector)
        return {
            f"{folder}/{info.base_name}": info.size
            for info in found
            if info.is_file and not info.base_name.startswith(".")
        }

    def describe(self, name: str) -> str:
        """The file's full name, as a message to the user shows it."""
        return f"{self.location.rstrip('/')}/{name}"

    def absolute(self, name: str) -> str:
        """The file's path on ``self.filesystem``."""
        return self._path(name)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """A remote file system that fails is the user's to mend; a local one's errors pass as they are."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            if self.local:
                raise
            raise UserError(
                f"{self.location} cannot be reached ({error}): check address and access"
            ) from None


def _resolve(location: str) -> tuple[Any, str]:
    if "://" not in location:
        return fs.LocalFileSystem(), str(Path(location).expanduser().absolute())
    try:
        filesystem, root = fs.FileSystem.from_uri(location)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"'{location}' is no folder that can be used ({reason}): write a local path or file://, "
            "s3://, gs:// or hdfs:// and mend the address"
        ) from None
    return filesystem, root.rstrip("/")
