"""What is typed wrongly is named, with the way out, before any server is asked; no server runs here."""

import socket
import subprocess

import pytest

from peers import godwit, ports

WRONG = [
    (["config"], 64, "check, show, diff or explain?"),
    (["config", "chek"], 64, "there is no 'chek': did you mean 'check'?"),
    (["config", "frobnicate"], 64, "there is no 'frobnicate': check, show, diff or explain"),
    (["config", "check", "a", "b"], 64, "'b' is one word too many"),
    (["config", "show", "--orign"], 64, "did you mean --origin?"),
    (["config", "check", "--origin"], 64, "--origin is for show"),
    (["help", "sedn"], 64, "did you mean 'send'?"),
    (["spool", "verify", "--spool", "/nowhere"], 66, "No such file"),
]


def run(*words):
    return subprocess.run([godwit.PROGRAM, *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("words", "code", "said"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_it_is_named(words, code, said):
    done = run(*words)
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr, done.stderr


@pytest.mark.parametrize("words", [["config", "--help"], ["config", "check", "--help"], ["help", "--help"]],
                         ids=" ".join)
def test_help_is_no_mistake(words):
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert words[0] in done.stdout


@pytest.mark.parametrize("tool", [["verify"], ["stats"], ["export", "out"]], ids=" ".join)
def test_a_directory_that_is_no_spool(tmp_path, tool):
    """Another directory, named by mistake, is not a spool in which all is well."""
    (tmp_path / "letter").write_text("no spool\n")
    done = run("spool", tool[0], *(str(tmp_path / word) for word in tool[1:]), "--spool", str(tmp_path))
    assert done.returncode == 66 and "no segment in it" in done.stderr, done.stderr + done.stdout
    assert (tmp_path / "letter").exists()


def test_a_port_that_wants_tls_first():
    """It waits for us, as we for it: the way out is named."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("--timeout", "1s", "send", "bob@example.net", "--server", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"127.0.0.1 port {port} says nothing; --tls implicit" in done.stderr


def test_no_port_at_all():
    port = ports.free_port()
    done = run("send", "bob@example.net", "--server", f"127.0.0.1:{port}")
    assert done.returncode == 69 and f"127.0.0.1 port {port} cannot be reached" in done.stderr
