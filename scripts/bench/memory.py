"""What a contender of the benchmark says of its memory."""

from pathlib import Path


def peak_bytes() -> int:
    """Largest resident set of this process so far: VmHWM."""
    for line in Path("/proc/self/status").read_text(encoding="utf8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def resident_bytes() -> int:
    """Resident set of this process now."""
    return int(Path("/proc/self/statm").read_text(encoding="utf8").split()[1]) * 4096
