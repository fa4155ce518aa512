"""`./dev` on machines that lack something: what it says, with stand-ins for cargo and apt-get."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import ROOT

DEV = ROOT / "dev"
SCRIPTS = [DEV, ROOT / ".ci/run", *sorted((ROOT / "scripts").glob("*.sh")), *sorted(ROOT.glob("*/refresh"))]
NEW_RUST = 'case $1 in --version) echo "cargo 1.99.0"; exit ;; esac'


def test_dev_has_every_command_that_the_documents_name():
    shown = subprocess.run([DEV, "help"], capture_output=True, text=True, check=True).stdout
    has = set(re.findall(r"^\./dev (\w+)", shown, re.MULTILINE)) | {"help"}
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / ".ci/run"]:
        named = set(re.findall(r"(?:`|^)\./dev ([a-z]+)", document.read_text(), re.MULTILINE))
        assert named <= has, document.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_runs_in_the_bash_of_macos(script):
    """Nothing that bash 3.2 lacks, and no option that BSD's tools do not take."""
    newer = r"\b(mapfile|readarray|coproc|declare -[Agn]|local -[An]|wait -n|sed -[ir]|grep -P|date -d|stat -c)\b"
    code = "\n".join(line for line in script.read_text().splitlines() if not line.lstrip().startswith("#"))
    assert re.search(rf"{newer}|&>>|\|&|;;?&|\$\{{\w+(,,|\^\^|@)|\$EPOCH", code) is None


@pytest.fixture
def machine(tmp_path):
    """A PATH with these programs and nothing else; programs of its own are shell scripts."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "sed", "dirname", "cat", "mktemp", "grep", "rm", "df", "awk", "sleep", "tail", "kill"):
        (programs / name).symlink_to(shutil.which(name))

    def machine(command, **scripts):
        for name, text in scripts.items():
            program = programs / name.replace("_", "-")
            program.write_text(f"#!{programs}/bash\n{text}\n")
            program.chmod(0o755)
        environment = {"PATH": str(programs), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        environment["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing"
        return subprocess.Popen(
            [programs / "bash", DEV, command], env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            # Bash can only trap what was not ignored when it started, and in the background Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return machine


def words_of(process):
    """What it says before it fails."""
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    return errors


@pytest.mark.parametrize("version", ["1.85.0 (d73d2caf9 2024-12-31)", "1.65.0"])
def test_an_old_rust_is_told_which_is_needed(machine, version):
    words = words_of(machine("demo", cargo=f'echo "cargo {version}"'))
    assert f"Rust 1.95 or newer is needed, and " in words and f"is cargo {version}: run rustup update" in words


def test_without_rust_it_says_where_rust_is(machine):
    assert "Rust is not installed: run the command that https://rustup.rs shows" in words_of(machine("demo"))


def test_a_rustup_without_a_toolchain_says_so_itself(machine):
    cargo = 'echo "error: rustup could not choose a version of cargo to run" >&2; exit 1'
    assert "cargo does not work: error: rustup could not choose" in words_of(machine("demo", cargo=cargo))


def test_a_user_without_rights_learns_what_an_administrator_can_run(machine):
    words = words_of(
        machine("demo", cargo=NEW_RUST, rustc="exit 1", apt_get="exit 1", id="echo 1000", uname="echo Linux")
    )
    assert "only root may install packages" in words
    assert "An administrator can run: apt-get install gcc libc6-dev postgresql" in words


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("error: failed to download from `https://index.crates.io/config.json`", "cargo does not reach crates.io"),
        ("[6] Could not resolve hostname (Could not resolve host: index.crates.io)", "cargo does not reach crates.io"),
        ("rustc-LLVM ERROR: IO failure on output stream: No space left on device", "the disk is full: "),
        ("error[E0425]: cannot find value `x` in this scope", "cargo failed: its words are above"),
    ],
)
def test_a_build_that_fails_says_what_to_do(machine, said, meaning):
    cargo = f"{NEW_RUST}\necho '   Compiling serde v1.0.0' >&2; echo '{said}' >&2; exit 101"
    words = words_of(machine("demo", cargo=cargo, rustc="exit 1", cc="exit 0"))
    assert said in words and f"✗ {meaning}" in words
    assert "Compiling" not in words


def test_ctrl_c_ends_the_build(machine, tmp_path):
    started = tmp_path / "started"
    os.mkfifo(started)
    cargo = f"{NEW_RUST}\necho $$ >{started}; exec sleep 60"
    process = machine("demo", cargo=cargo, rustc="exit 1", cc="exit 0")
    pid = int(started.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(tmp_path.glob("campaign-sender*")) == []
