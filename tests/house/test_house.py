"""The tools that judge the rest: each rule of tools/lint has to find what it is there for, tools/check
has to count what went wrong, tools/deps must not bring a mail server.

    /usr/bin/python3 -m pytest tests/house
"""

import argparse
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / "tools" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


lint = load("lint")
check = load("check")

# (rule, file, content that breaks it, line it is to be found in)
HEADER = "/*\n * What this is for, at some length.\n */\n"
BREACHES = [
    ("includes", "src/mail/a.c", '#include "smtp/reply.h"\n', 1),
    ("includes", "src/flow/a.c", '\n#include "spool/store.h"\n', 2),
    ("includes", "src/cmd/a.c", '#include "role/queue.h"\n', 1),
    ("includes", "src/role/smtpd_a.c", '#include "role/queue.h"\n', 1),
    ("includes", "src/role/other.c", '#include "flow/broker-private.h"\n', 1),
    ("pure", "src/smtp/a.c", "#include <unistd.h>\n", 1),
    ("pure", "src/mail/a.c", "void f(void)\n{\n\tp = malloc(3);\n}\n", 3),
    ("pure", "src/flow/a.c", "int64_t now = clock_now();\n", 1),
    ("pure", "src/flow/a.c", "int n = read(fd, p, 3);\n", 1),
    ("lengths", "src/base/a.c", "int x;\n" * 801, 801),
    ("lengths", "src/base/a.c", "void f(void)\n{\n" + "\tx();\n" * 61 + "}\n", 1),
    ("clang_format", "src/base/a.c", "int  main ( ) { }\n", 1),
    ("tables", "src/base/metrics.def", '\nMETRIC(A, "a", GAUGE, "")\n', 2),
    ("unfinished", "docs/a.md", "one\nTO" "DO\n", 2),
    ("unfinished", "tests/a.py", "path = '/ho" "me/me/x'\n", 1),
    ("magics", "src/net/a.c", "enum { A = GW_MAGIC(0x61, 0x62, 0x63, 0x64) };\n"
     "enum { B = GW_MAGIC('a', 'b', 'c', 'd') };\n", 2),
    ("ascii_only", "src/base/a.c", "int x;\n/* \u00e4 */\n", 2),
    ("ascii_only", "src/base/a.c", "int x; \n", 1),
    ("scripts", "tests/a.py", "def f(:\n", 1),
    ("scripts", "tools/x", "#!/bin/sh\nif true\n", 1),
    ("headers", "src/base/a.h", "#ifndef GW_BASE_A_H\n#define GW_BASE_A_H\n#endif\n", 1),
    ("headers", "src/base/a.h", HEADER + "#ifndef A_H\n#define A_H\n#endif\n", 4),
    ("headers", "src/base/a.h", HEADER + "int x;\n", 1),
    ("headers", "src/base/a.c", "int x;\n", 1),
]

GOOD = {
    "src/mail/a.c": '#include "mail/a.h"\n\n#include "base/b.h"\n\n#include <string.h>\n'
                    '/* malloc(1) and read() in a comment */\nconst char *s = "open(2)";\n',
    "src/mail/a.h": HEADER + "#ifndef GW_MAIL_A_H\n#define GW_MAIL_A_H\n\nint x(void);\n\n#endif\n",
    "src/base/b.h": HEADER + "#ifndef GW_BASE_B_H\n#define GW_BASE_B_H\n\n#endif\n",
    "src/role/queue.h": HEADER + "#ifndef GW_ROLE_QUEUE_H\n#define GW_ROLE_QUEUE_H\n\n#endif\n",
    "src/role/queue_a.c": '#include "role/queue.h"\n',
}
OTHERS = ["src/smtp/reply.h", "src/spool/store.h", "src/flow/broker-private.h"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """findings(rule, {file: text}): what the rule says of a tree with these files."""
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    (tmp_path / ".clang-format").write_text((ROOT / ".clang-format").read_text())

    def findings(rule, files, capsys):
        for name in OTHERS:
            files.setdefault(name, "")
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        capsys.readouterr()
        own = lint.Lint("build", False)
        own.files = sorted(files)
        getattr(lint, rule)(own)
        return capsys.readouterr().out.splitlines()

    return findings


@pytest.mark.parametrize("rule, name, text, line", BREACHES,
                         ids=[f"{rule}-{i}" for i, (rule, *_) in enumerate(BREACHES)])
def test_a_breach_is_found(tree, capsys, rule, name, text, line):
    assert any(found.startswith(f"{name}:{line}: ") for found in tree(rule, {name: text}, capsys))


@pytest.mark.parametrize("rule", ["includes", "pure", "lengths", "clang_format", "magics",
                                  "ascii_only", "unfinished"])
def test_good_files_pass(tree, capsys, rule):
    assert tree(rule, dict(GOOD), capsys) == []


# ---- documents --------------------------------------------------------------------------------

STUB = """#!/bin/sh
if grep -q wrong "$3"; then echo "x:1:1: error: no [E0140]" >&2; exit 1; fi
if ! grep -q "^hostname" "$3"; then echo "x: error: no name [E0146]" >&2; exit 1; fi
grep -q left-out "$3" && echo "x:1:1: warning: no route [W0303]" >&2
exit 0
"""


def test_every_configuration_in_a_text_is_tried(tree, tmp_path, capsys):
    """Parts get what they lack; a warning that speaks of that is none of theirs; a whole one may have none."""
    program = tmp_path / "build/godwit"
    program.parent.mkdir()
    program.write_text(STUB)
    program.chmod(0o755)
    said = tree("examples", {
        "docs/a.md": "# A\n```conf\nleft-out\n```\n```\nwrong, and not ours\n```\n\n```conf\nwrong\n```\n",
        "docs/b.md": "```conf\nhostname a\nlisten b\nusers c\nleft-out\n```\n",
        "man/c.5": '.\\" conf\n.Bd -literal\nwro\\&ng\n.Ed\n.Bd -literal\nwrong\n.Ed\n'}, capsys)
    assert [s.split(" ")[0] for s in said if s.startswith(("docs/", "man/"))] \
        == ["docs/a.md:10:", "docs/b.md:2:", "man/c.5:3:"]


@pytest.mark.parametrize("path, old, new, says", [
    ("man/godwit.8", ".It vault\n", "", "the process vault is not told of"),
    ("man/godwit.8", ".It vault\n", ".It vault\n.It oracle\n", "there is no process oracle"),
    ("man/godwit.8", ".It Pa /var/spool/godwit\n", "", "the file /var/spool/godwit is not told of"),
    ("man/godwit.1", ".It 77\n", ".It 78\n", "the exit code 77 is not told of"),
    ("man/godwit.1", "Ev GODWIT_CONTROL", "Ev GODWIT_CENTRAL", "there is no variable GODWIT_CENTRAL"),
    ("src/cmd/commands.def", "--follow ", "--fellow ", "there is no option --fellow"),
    ("src/cmd/trace.c", '{"--follow", ', '{"--fellow", ', "the option --fellow is not told of"),
])
def test_manual_pages_name_what_there_is(capsys, path, old, new, says):
    own = lint.Lint("build", False)
    own.texts[path] = own.text(path).replace(old, new)
    assert own.texts[path] != (ROOT / path).read_text()
    lint.manuals(own)
    assert says in capsys.readouterr().out


# ---- counting ---------------------------------------------------------------------------------

@pytest.mark.parametrize("status, output, want", [
    (0, "1..2\nok 1 - a\nok 2 - b c\n", (2, 0, 0)),
    (1, "1..2\nok 1 - a\nnot ok 2 - b\n# x.c:3: error\n", (1, 1, 0)),
    (0, "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", (1, 0, 1)),
    (-6, "1..3\nok 1 - a\n", (1, 2, 0)),
    (None, "1..1\n", (0, 1, 0)),
    (0, "", (0, 1, 0)),
    (1, "1..1\nok 1 - a\n# leak found\n", (1, 1, 0)),
    (0, "1..1\nok 1 - a\n1..1\nok 1 - b\n", (2, 0, 0)),
])
def test_unit_programs_are_counted(status, output, want):
    layer = check.Layer("unit")
    check.count_tap(layer, "x_test", status, output)
    assert (layer.passed, layer.failed, layer.skipped) == want


CASES = {
    "passed": "<testcase name='a'/>",
    "failed": "<testcase name='a'><failure message='x'/></testcase>",
    "broken": "<testcase name='a'><error message='x'/></testcase>",
    "excused": "<testcase name='a'><skipped message='needs root'/></testcase>",
    "lazy": "<testcase name='a'><skipped message='swaks is not installed'/></testcase>",
}


@pytest.mark.parametrize("cases, status, want", [
    (["passed", "passed"], 0, (2, 0, 0)),
    (["passed", "failed", "broken"], 1, (1, 2, 0)),
    (["passed", "excused"], 0, (1, 0, 1)),
    (["passed", "lazy"], 0, (1, 1, 0)),
    (["passed"], 2, (1, 1, 0)),
    (["passed"], None, (1, 1, 0)),
    ([], 5, (0, 1, 0)),
])
def test_pytest_reports_are_counted(tmp_path, cases, status, want):
    report = tmp_path / "report.xml"
    report.write_text("<testsuites>" + "".join(CASES[c] for c in cases) + "</testsuites>")
    layer = check.Layer("e2e")
    check.count_junit(layer, report, status)
    assert (layer.passed, layer.failed, layer.skipped) == want


def test_a_missing_report_is_a_failure(tmp_path):
    layer = check.Layer("e2e")
    check.count_junit(layer, tmp_path / "none.xml", 0)
    assert layer.failed == 1


class AskedAgain(check.Check):
    """A run with those failures; who is asked again passes if its name says so."""

    def __init__(self, folder, failed):
        super().__init__(argparse.Namespace(sanitized=None, stale=False))
        self.build, self.asked, self.layer = folder, [], check.Layer("e2e")
        text = "".join(f"<testcase classname='tests.e2e.{where}' name='{name}'><failure/></testcase>"
                       for where, name in failed)
        self.report(self.layer).write_text(f"<testsuites>{text}</testsuites>")
        self.layer.failed = len(failed)
        self.alone(self.layer)

    def pytest(self, layer, words):
        self.asked = words
        layer.passed = sum("late" in word for word in words)
        layer.failed = sum("wrong" in word for word in words)


@pytest.mark.parametrize("failed, asked, want", [
    ([("test_tls", "late[a.b]"), ("test_mx.TestRoutes", "wrong")],
     ["tests/e2e/test_tls.py::late[a.b]", "tests/e2e/test_mx.py::TestRoutes::wrong"], (1, 1)),
    ([("test_tls", "late")], ["tests/e2e/test_tls.py::late"], (1, 0)),
    ([("test_tls", "forgotten")], ["tests/e2e/test_tls.py::forgotten"], (0, 1)),
    ([("test_tls", f"late{i}") for i in range(4)], [], (0, 4)),
    ([("test_tls", "late"), ("test_prove", "late")], [], (0, 2)),
    ([("", "tests.e2e.test_unreadable")], [], (0, 1)),
    ([], [], (0, 0)),
])
def test_a_few_are_asked_again(tmp_path, failed, asked, want):
    run = AskedAgain(tmp_path, failed)
    assert run.asked == asked and (run.layer.passed, run.layer.failed) == want


def test_what_is_asked_once_is_there():
    assert all((ROOT / name).is_file() for name in check.ASKED_ONCE)


def test_a_layer_beside_the_others_is_counted(tmp_path, monkeypatch, capsys):
    """What fails there, or ends without a word, is a failure of the whole."""
    monkeypatch.setenv("BUILD", str(tmp_path))
    layer = check.Layer("sim")
    check.Beside(layer, []).wait()
    assert (layer.passed, layer.failed) == (0, 1) and "was not built" in capsys.readouterr().out
    layer = check.Layer("sim")
    check.Beside(layer, ["--no-such-word"]).wait()
    assert layer.failed == 1


# ---- packages ---------------------------------------------------------------------------------

FAKES = {
    "id": "echo 0",
    "dpkg-query": 'case "$*" in *have*) echo installed;; *) exit 1;; esac',
    "apt-cache": 'case "$*" in *mailer*) echo "Provides: mail-transport-agent";; esac',
    # New lists know "late" too. -s shows what would be done.
    "apt-get": 'echo "$*" >>"$LOG"\n'
               'case "$*" in\n*update*) touch "$LOG.updated"; exit;;\n'
               '*late*) [ -e "$LOG.updated" ] || exit 100;; esac\n'
               'case "$*" in *-s*) for p; do case $p in -*|install) ;; *) echo "Inst $p (1 x)";; '
               'esac; done;; esac',
}


@pytest.fixture
def deps(tmp_path):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, body in FAKES.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_ / name).chmod(0o755)
    log = tmp_path / "log"
    log.write_text("")

    def run(*packages):
        env = dict(os.environ, PATH=f"{bin_}:/usr/bin:/bin", LOG=str(log))
        done = subprocess.run([ROOT / "tools/deps", *packages], env=env, capture_output=True,
                              text=True, check=False)
        calls = [c for c in log.read_text().splitlines() if " -s " not in f" {c} "]
        return done.returncode, calls

    return run


def test_nothing_is_done_when_all_is_there(deps):
    assert deps("have-a", "have-b") == (0, [])


def test_what_is_missing_is_installed(deps):
    status, calls = deps("have-a", "new")
    assert status == 0
    assert len(calls) == 1 and calls[0].endswith("install --no-install-recommends new")


def test_old_lists_are_updated_first(deps):
    status, calls = deps("late")
    assert status == 0
    assert "update" in calls[0] and calls[1].endswith("install --no-install-recommends late")


def test_a_mail_server_is_refused(deps):
    assert deps("new", "mailer") == (1, [])
