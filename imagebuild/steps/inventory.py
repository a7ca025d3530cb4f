"""Writes down what is in the image: a bill of materials beside the build, its digest with the image."""

import hashlib

from imagebuild.step import Context, Step, canonical


class Inventory(Step):
    """Get-Inventory as SYSTEM; what differs at every boot is left out of the digest."""

    name = "inventory"
    title = "take the inventory"
    needs = frozenset({"windows"})
    gives = frozenset({"inventory"})
    anew = True  # its file belongs to the build

    def run(self, context: Context) -> None:
        """Take it, save it, count it."""
        deadline = context.deadline(self.deadline_minutes)
        found = context.guest.run_as_system("Get-Inventory", {}, job="inventory", deadline=deadline, on_step=None)
        for section, problem in found["problems"].items():
            context.report.warn(f"the inventory lacks {section}: {problem}")
        path = context.folder / "inventory.json"
        path.write_text(canonical(found) + "\n", encoding="utf-8")
        lasting = {key: value for key, value in found.items() if key not in ("volatile", "problems")}
        counts = {key: len(value) for key, value in lasting.items() if isinstance(value, list)}
        digest = hashlib.sha256(canonical(lasting).encode()).hexdigest()
        names = ("updates", "drivers", "programs", "services")
        context.report.note(", ".join(f"{counts[name]} {name}" for name in names if name in counts))
        context.remember(inventory={"digest": digest, "counts": counts, "file": path.name})
