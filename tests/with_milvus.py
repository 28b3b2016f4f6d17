"""Runs a command beside a real Milvus server, which no other machine can reach.

python tests/with_milvus.py SERVER_PYTHON COMMAND…

SERVER_PYTHON has `milvus` installed. The server listens on all interfaces, so it and the command
get a network of their own with nothing but a loopback in it. The command finds the server's
address in SIMSEARCH_TEST_MILVUS.
"""

import os
import signal
import subprocess
import sys
import tempfile

_SERVER = """
import sys, milvus
config = milvus.MilvusServerConfig()
config.update(data_dir=sys.argv[1])
server = milvus.MilvusServer(config)
server.start()
print(server.server_proc.pid, server.listen_port, flush=True)
sys.stdin.read()  # Until the pipe is closed, also by a parent that was killed.
server.stop()
"""


def enter_own_network() -> None:
    """Starts this program again in a network namespace, as root or as a user."""
    flags = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    environment = os.environ | {"SIMSEARCH_OWN_NETWORK": "1"}
    os.execvpe("unshare", ["unshare", *flags, sys.executable, *sys.argv], environment)


def main() -> int:
    """Returns the command's exit code; 75 where no server could be started here."""
    if os.environ.get("SIMSEARCH_OWN_NETWORK") != "1":
        enter_own_network()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    python, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = subprocess.Popen(
            [python, "-c", _SERVER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        child = None
        try:
            words = server.stdout.readline().split()
            if len(words) != 2:
                print("with_milvus: the server did not start", file=sys.stderr)
                return 75
            child = int(words[0])
            address = f"http://127.0.0.1:{words[1]}"
            return subprocess.run(
                command, env=os.environ | {"SIMSEARCH_TEST_MILVUS": address}
            ).returncode
        finally:
            server.stdin.close()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
            # The server is a process of its own, which outlives the one that started it.
            if child is not None and os.path.exists(f"/proc/{child}"):
                os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
