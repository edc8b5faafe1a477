#!/usr/bin/env python3
"""Turns CUDA sources into what a host compiler understands: rewrite_kernels.py [--header] IN OUT.

A launch `kernel<T><<<grid, block>>>(a, b)` becomes a call of cuda_on_host::Launch, a variable
declared `__shared__` a reference into the block's shared memory. All else is C++ as it is, given
the keywords that include/cuda_runtime.h defines. Lines keep their numbers.

--header: the result is a header, which ordinary C++ files include as well.
"""

import argparse
import pathlib
import re
import sys


class NotUnderstood(Exception):
    """What this file cannot rewrite, and where it stands."""

    def __init__(self, position, reason):
        super().__init__(reason)
        self.position = position


NOT_CODE = re.compile(
    r"//(?:\\\n|[^\n])*"  # A comment may go on after a backslash.
    r"|/\*.*?\*/"
    r'|(?<!\w)(?:u8|[uUL])?R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'"  # After a digit it would separate digits.
    r"|\\\n",
    re.DOTALL,
)


def blank_out(text):
    """The text with all that is not code turned into spaces, so that positions stay."""
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def skip_back(code, end):
    while end > 0 and code[end - 1].isspace():
        end -= 1
    return end


PAIRS = {")": "(", "]": "[", "}": "{", ">": "<"}


def open_before(code, end):
    """Where the bracket opens that closes just before `end`."""
    waiting = []
    for i in range(end - 1, -1, -1):
        char = code[i]
        # Inside (...) and [...] the signs < and > compare.
        if char in ")]}" or (char == ">" and (not waiting or waiting[-1] == "<")):
            waiting.append(PAIRS[char])
        elif waiting and char == waiting[-1]:
            waiting.pop()
            if not waiting:
                return i
        elif char in ";{}":
            break
    raise NotUnderstood(end - 1, f"nothing opens this {code[end - 1]!r}")


def kernel_start(code, launch):
    """Where the name of the kernel begins that stands before the <<<: a::b<C, D>."""
    end = skip_back(code, launch)
    if end > 0 and code[end - 1] == ")":
        return open_before(code, end)
    if end > 0 and code[end - 1] == ">":
        end = skip_back(code, open_before(code, end))
    start = end
    while start > 0 and re.match(r"[\w:#]", code[start - 1]):
        start -= 1
    if start == end or code[start].isdigit():
        raise NotUnderstood(launch, "no kernel before this <<<")
    return start


def find_at_depth_0(code, start, wanted):
    depth = 0
    for i in range(start, len(code)):
        if depth == 0 and code.startswith(wanted, i):
            return i
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
        if depth < 0 or code[i] == ";":
            break
    raise NotUnderstood(start, f"nothing closes this with {wanted}")


def launch_edits(code):
    """Edits (start, end, replacement) for all launches."""
    for match in re.finditer("<<<", code):
        start = kernel_start(code, match.start())
        close = find_at_depth_0(code, match.end(), ">>>")
        if not re.match(r">>>\s*\(", code[close:]):
            raise NotUnderstood(close, "no arguments after this >>>")
        find_at_depth_0(code, code.index("(", close) + 1, ")")
        name = " ".join(code[start : match.start()].split())
        before = f'::cuda_on_host::Launch({{"{name}", __FILE__, __LINE__}}, '
        if re.fullmatch(r"[\w:#]+", name):
            # Perhaps a template whose arguments follow from the launch's: a call finds them.
            before += f"[=](auto... a) {{ {name}(a...); }}"
            end = start + len(code[start : match.start()].rstrip())
            yield start, end, before
        else:
            yield start, start, before
        yield match.start(), match.end(), ", "
        yield close, close + 3, ")"


SHARED = re.compile(r"(?P<extern>\bextern\s+)?(?:\bstatic\s+)?\b__shared__\b(?P<rest>[^;{}=]*);")
VARIABLE = re.compile(r"(?P<type>.*[\s&*>])(?P<name>[A-Za-z_]\w*)\s*(?P<sizes>(?:\[.*\])?)", re.DOTALL)
ALIGNMENT = re.compile(r"\b(?:__align__|alignas)\s*\([^()]*\)")


def shared_edits(code, text):
    """Edits for all __shared__ variables."""
    done = set()
    for match in SHARED.finditer(code):
        position = code.index("__shared__", match.start())
        # Shared memory is aligned to the utmost anyway.
        rest = ALIGNMENT.sub(" ", match["rest"]).strip()
        # The last name before the sizes is the variable's.
        variable = VARIABLE.fullmatch(" " + rest if "[" not in rest else rest)
        if not variable or re.search(r"[,(]", re.sub(r"<.*>|\[[^]]*\]", "", rest, flags=re.DOTALL)):
            raise NotUnderstood(position, "not of the form `__shared__ type name[size];`")
        kind, name, sizes = (" ".join(variable[part].split()) for part in ("type", "name", "sizes"))
        if not kind:
            raise NotUnderstood(position, "no type after this __shared__")
        if match["extern"]:
            if sizes != "[]":
                raise NotUnderstood(position, "not of the form `extern __shared__ type name[];`")
            new = f"{kind}* const {name} = ::cuda_on_host::DynamicShared<{kind}>();"
        else:
            if sizes == "[]":
                raise NotUnderstood(position, f"{name} needs a size or `extern`")
            reference = f"(&{name}){sizes}" if sizes else f"&{name}"
            new = (
                f'static ::cuda_on_host::SharedSlot {name}_slot("{name}"); {kind} {reference} = {name}_slot;'
            )
        lost_lines = re.findall(r"\\?\n", text[match.start() : match.end()])
        done.add(position)
        yield match.start(), match.end(), new + "".join(f" {line}" for line in lost_lines)
    for match in re.finditer(r"\b__shared__\b", code):
        if match.start() not in done:
            raise NotUnderstood(match.start(), "a __shared__ that declares no variable")


def rewrite(text):
    code = blank_out(text)
    edits = sorted([*launch_edits(code), *shared_edits(code, text)])
    result, position = [], 0
    for start, end, new in edits:
        if start < position:
            raise NotUnderstood(start, "a launch inside what another one rewrites")
        result += [text[position:start], new]
        position = end
    result.append(text[position:])
    return "".join(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--header", action="store_true")
    parser.add_argument("input", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()
    text = arguments.input.read_text(encoding="utf-8")
    try:
        rewritten = rewrite(text)
    except NotUnderstood as error:
        line = text.count("\n", 0, error.position) + 1
        sys.exit(f"{arguments.input}:{line}: {error}")
    head = "" if arguments.header else '#include "cuda_on_host/device.hpp"\n'
    head += f'#line 1 "{arguments.input.as_posix()}"\n'
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(head + rewritten, encoding="utf-8")


if __name__ == "__main__":
    main()
