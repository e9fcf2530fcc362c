"""Ctrl-C, SIGTERM and SIGHUP: the end comes within a second, with one message, and nothing temporary is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import World, spawn
from tests.warm import Started, start

INTERRUPTED = "error: interrupted. Run the same command again.\n"
SLACK = 30.0  # a second is what is promised, on a machine that is not busy


def running(code: str, folder: Path, *arguments: str, **given: Any) -> Started:
    """Python code after `end_on_signals`, in a process of its own that has printed `began`."""
    begin = "import os, sys, time; from skipfill.cli.signals import end_on_signals, finished; end_on_signals()\n"
    environment = {**os.environ, "TMPDIR": str(folder)}
    code = begin + textwrap.dedent(code)
    process = start(code, arguments, cwd=folder, environment=environment, **given)
    assert process.stdout
    assert process.stdout.readline() == "began\n"
    return process


def ended_by(process: Started, number: int, after: float = 0.3) -> tuple[int, str, str]:
    """Exit code, stdout and stderr after a signal; it must end soon."""
    time.sleep(after)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=SLACK)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


LONG = {
    "a loop": "print('began', flush=True)\nwhile True: pass",
    "an endless SQL query": """
        import duckdb
        print('began', flush=True)
        duckdb.sql('WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t').fetchall()
    """,
    "products of matrices": """
        import torch
        a = torch.zeros(9000, 9000)
        print('began', flush=True)
        while True: a @ a
    """,
    "one call of a library": """
        import numpy as np
        print('began', flush=True)
        np.linalg.svd(np.ones((6000, 6000)))
    """,
    "k-means": """
        import numpy as np
        from scipy.cluster.vq import kmeans2
        print('began', flush=True)
        kmeans2(np.random.default_rng(0).normal(size=(200_000, 64)), 256, iter=10_000)
    """,
    "code that lets no exception out": """
        print('began', flush=True)
        while True:
            try: time.sleep(0.1)
            except BaseException: pass
    """,
    "a lock that nobody gives back": """
        import threading
        print('began', flush=True)
        lock = threading.Lock(); lock.acquire(); lock.acquire()
    """,
    "a pipe that nobody writes to": """
        os.mkfifo('pipe')
        print('began', flush=True)
        open('pipe').read()
    """,
    "a file that does not come": """
        import pyarrow as pa
        os.mkfifo('pipe')
        print('began', flush=True)
        pa.OSFile('pipe')
    """,
    "a data loader with workers": """
        import torch
        class Items(torch.utils.data.Dataset):
            def __len__(self): return 10**9
            def __getitem__(self, at): time.sleep(0.01); return at
        for at, _ in enumerate(torch.utils.data.DataLoader(Items(), num_workers=2)):
            if at == 0: print('began', flush=True)
    """,
}


@pytest.mark.parametrize("kind", LONG)
def test_any_long_work_is_interrupted(tmp_path: Path, kind: str) -> None:
    assert ended_by(running(LONG[kind], tmp_path), signal.SIGINT) == (130, "", INTERRUPTED)


def test_where_it_was_is_told_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPFILL_DEBUG", "1")
    code, _, err = ended_by(running(LONG["a lock that nobody gives back"], tmp_path), signal.SIGINT)
    assert code == 130
    assert 'File "<string>", line 5 in <module>' in err
    assert err.endswith(INTERRUPTED)


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")])
def test_other_signals_have_their_codes(tmp_path: Path, number: int, word: str) -> None:
    code, _, err = ended_by(running(LONG["a loop"], tmp_path), number)
    assert (code, err) == (
        128 + number,
        f"error: ended by {word}. Run the same command again.\n",
    )


def test_only_a_training_speaks_of_trainings(tmp_path: Path) -> None:
    _, _, err = ended_by(running(LONG["a loop"], tmp_path, "--quiet", "train", "v2"), signal.SIGTERM)
    assert err == (
        "error: ended by SIGTERM. Run the same command again; a training resumes after its last finished epoch.\n"
    )


def test_with_json_there_is_a_document(tmp_path: Path) -> None:
    code, out, err = ended_by(running(LONG["a loop"], tmp_path, "--json"), signal.SIGINT)
    assert (code, err) == (130, INTERRUPTED)
    hint = "Run the same command again."
    assert json.loads(out) == {"schema_version": 1, "error": "interrupted", "hint": hint, "exit_code": 130}


def test_an_endless_slice_is_interrupted(with_v2: World, tmp_path: Path) -> None:
    endless = "(WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t) > 0"
    check = spawn("check", "things", "v2", "--items", with_v2.heldout, "--slice", endless, cwd=tmp_path)
    maps, deadline = Path(f"/proc/{check.pid}/maps"), time.monotonic() + 60
    while maps.parent.parent.exists() and "duckdb" not in maps.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ended_by(check, signal.SIGINT, after=5) == (130, "", INTERRUPTED)


def test_a_host_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(10)
        environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = spawn("status", "--store", "s3://bucket/store", cwd=tmp_path)
        deaf.accept()
        assert ended_by(status, signal.SIGINT) == (130, "", INTERRUPTED)


def test_while_the_command_is_imported(tmp_path: Path) -> None:
    code = """
        class Slow:
            def find_spec(self, name, *_):
                if name == 'typer':
                    print('began', flush=True)
                    time.sleep(60)
        sys.meta_path.insert(0, Slow())
        from skipfill.cli.__main__ import main
        main()
    """
    code, _, err = ended_by(running(code, tmp_path, cold=True), signal.SIGTERM)
    assert (code, err) == (
        143,
        "error: ended by SIGTERM. Run the same command again.\n",
    )


def test_temporary_files_and_children_are_gone(tmp_path: Path) -> None:
    code = """
        import subprocess
        from pathlib import Path
        from skipfill.store.storage.output_file import new_file
        from skipfill.store.storage.unfinished import scratch_folder, temporary
        with scratch_folder() as scratch, new_file(Path('new')), temporary(Path('part')) as part:
            (scratch / 'below').mkdir()
            (scratch / 'below' / 'file').touch()
            part.touch()
            child = subprocess.Popen(['sh', '-c', 'sleep 600 & echo $! > children; wait'])
            while not Path('children').exists() or not Path('children').read_text(): time.sleep(0.01)
            Path('children').write_text(f"{child.pid} {Path('children').read_text()}")
            print('began', flush=True)
            time.sleep(60)
    """
    process = running(code, tmp_path)
    children = (tmp_path / "children").read_text().split()
    assert len(children) == 2
    assert ended_by(process, signal.SIGTERM)[0] == 143
    assert [path.name for path in tmp_path.iterdir()] == ["children"]
    time.sleep(0.2)
    assert not [child for child in children if _alive(child)]


def _alive(process: str) -> bool:
    try:
        return " Z " not in Path("/proc", process, "stat").read_text()
    except FileNotFoundError:
        return False


def test_one_signal_may_come_twice(tmp_path: Path) -> None:
    """From the terminal and from a program that passes it on: not a request to end without cleaning up."""
    code = """
        from skipfill.store.storage.unfinished import scratch_folder
        with scratch_folder() as scratch:
            for name in range(2000): (scratch / str(name)).touch()
            print('began', flush=True)
            time.sleep(60)
    """
    process = running(code, tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    assert ended_by(process, signal.SIGINT, after=0) == (130, "", INTERRUPTED)
    assert not list(tmp_path.iterdir())


def test_a_second_signal_ends_a_cleaning_that_hangs(tmp_path: Path) -> None:
    code = """
        import shutil
        from skipfill.store.storage.unfinished import scratch_folder
        shutil.rmtree = lambda *_, **__: time.sleep(60)
        with scratch_folder():
            print('began', flush=True)
            time.sleep(60)
    """
    process = running(code, tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    assert ended_by(process, signal.SIGINT, after=0)[0] == 130


def test_what_it_was_started_to_ignore_stays_ignored(tmp_path: Path) -> None:
    process = running("print('began', flush=True); time.sleep(1.5)", tmp_path, ignoring=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0


def test_a_forked_child_ends_alone(tmp_path: Path) -> None:
    code = """
        import multiprocessing
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join()
        print('began', flush=True)
        time.sleep(1)
        print(child.exitcode)
    """
    process = running(code, tmp_path)
    assert process.communicate(timeout=30) == ("-15\n", "")
    assert process.returncode == 0


def test_a_command_that_is_over_keeps_its_exit_code(tmp_path: Path) -> None:
    code = """
        import atexit
        def last():
            print('began', flush=True)
            time.sleep(60)
        atexit.register(last)
        finished(3)
        sys.exit(3)
    """
    assert ended_by(running(code, tmp_path), signal.SIGINT) == (3, "", "")
