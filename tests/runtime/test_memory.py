"""How much memory is left, on recorded control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from holdfast.runtime.memory import MARGIN_BYTES, available, groups_left, shortage

MB = 1 << 20


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def version_2(group: str, limit: str, used: int, cached: int) -> dict[str, str]:
    folder, half = f"sys/fs/cgroup{group}", cached // 2
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\nfile 99\ninactive_file {half}\nactive_file {cached - half}\n",
    }


def version_1(group: str, limit: int, used: int, cached: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup/memory{group}"
    return {
        f"{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"{folder}/memory.usage_in_bytes": f"{used}\n",
        f"{folder}/memory.stat": f"cache 5\ninactive_file 3\ntotal_inactive_file {cached}\n",
    }


def test_a_group_of_version_2_has_its_limit_less_what_is_used_and_cannot_be_had_again(tmp_path: Path) -> None:
    put(tmp_path, {"proc/self/cgroup": "0::/a/b\n"} | version_2("/a/b", str(900 * MB), 500 * MB, 100 * MB))
    assert list(groups_left(tmp_path)) == [500 * MB]


def test_the_groups_around_it_count_too(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"proc/self/cgroup": "0::/a/b\n"}
        | version_2("/a/b", "max", 500 * MB, 100 * MB)
        | version_2("/a", str(700 * MB), 600 * MB, 0),
    )
    assert list(groups_left(tmp_path)) == [100 * MB]


def test_in_a_container_the_top_folder_is_its_own_group(tmp_path: Path) -> None:
    put(tmp_path, {"proc/self/cgroup": "0::/../../x\n"} | version_2("", str(300 * MB), 100 * MB, 50 * MB))
    assert list(groups_left(tmp_path)) == [250 * MB]


def test_a_group_of_version_1_is_found_under_its_controller(tmp_path: Path) -> None:
    lines = "9:name=systemd:/\n4:cpu,memory:/docker/cafe\n3:cpuset:/\n0::/\n"
    put(tmp_path, {"proc/self/cgroup": lines} | version_1("/docker/cafe", 800 * MB, 300 * MB, 20 * MB))
    assert list(groups_left(tmp_path)) == [520 * MB]


def test_the_folder_of_a_container_is_not_there_under_its_hosts_name(tmp_path: Path) -> None:
    put(tmp_path, {"proc/self/cgroup": "4:memory:/docker/cafe\n"} | version_1("", 800 * MB, 900 * MB, 0))
    assert list(groups_left(tmp_path)) == [0]


@pytest.mark.parametrize("lines", ["", "0::/\n", "nonsense\n", "4:memory:/\n"])
def test_without_limits_there_are_none(tmp_path: Path, lines: str) -> None:
    put(tmp_path, {"proc/self/cgroup": lines})
    assert list(groups_left(tmp_path)) == []


def test_the_smallest_counts(tmp_path: Path) -> None:
    machine = psutil.virtual_memory().available
    put(tmp_path, {"proc/self/cgroup": "0::/\n"} | version_2("", str(2 * MB), MB, 0))
    assert available(tmp_path) == MB
    assert available(tmp_path / "nowhere") > machine / 2


def test_here_something_is_left() -> None:
    assert 0 < available() <= psutil.virtual_memory().total


def test_a_second_state_needs_room_for_itself_and_a_margin() -> None:
    assert shortage(100 * MB, 100 * MB + MARGIN_BYTES) == ""
    assert shortage(100 * MB, 100 * MB + MARGIN_BYTES - 1) != ""
    assert shortage(800 * 10**6, 120 * 10**6) == "memory is short: 120 MB are left beside a state of 800 MB"
