"""The rules, as pure functions over dataclasses. They are numbered in docs/concepts/rules.md, which comments cite."""
