"""Reads a folder of event files with TensorBoard's own reader and prints their scalars, and the sizes of their
images, as JSON.

    curvsam report out --tensorboard events
    python scripts/check_tensorboard.py events/out

needs `pip install tensorboard`. A damaged file makes it fail.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(folder: str) -> None:
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    if not tags:
        sys.exit(f"{folder}: TensorBoard finds no scalars there")
    found = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags}
    for tag in events.Tags()["images"]:
        found[tag] = [[e.step, e.width, e.height] for e in events.Images(tag)]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
