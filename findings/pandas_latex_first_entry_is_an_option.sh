#!/usr/bin/env bash
# pandas 3.0.1 and 2.3.3: DataFrame.to_latex(escape=True) leaves a first entry of a row that begins with [ or * as it is.
#
# In LaTeX the row before ends with \\, which takes a star and an optional length in brackets, also on the next line. So
# a table of kernels such as [3, 5] asks for a vertical space of "3, 5" ("Missing number" and the entry is gone), and an
# entry * disappears without an error. Braces before the entry, {}[3, 5], end the search for an argument.
#
# Seen: the rows  [3, 5] & 1 \\   and   * & 2 \\  directly after a line that ends with \\.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
for version in 3.0.1 2.3.3; do
    "$folder/env/bin/pip" install --quiet --disable-pip-version-check "pandas==$version" jinja2==3.1.6
    "$folder/env/bin/python" - <<'PYTHON'
import pandas as pd

table = pd.DataFrame({"kernel": ["7", "[3, 5]", "*"], "rank": [3, 1, 2]})
lines = table.to_latex(index=False, escape=True).splitlines()
print("pandas", pd.__version__)
for start in ("[3, 5] & 1", "* & 2"):
    (number,) = [n for n, line in enumerate(lines) if line.startswith(start)]
    print(lines[number - 1], "|", lines[number])
    assert lines[number - 1].endswith("\\\\")
PYTHON
done
