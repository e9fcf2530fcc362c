#!/usr/bin/env bash
# Installs skipfill as the input `install` says.
set -euo pipefail
root=$(cd "$GITHUB_ACTION_PATH/../../.." && pwd)

case $INSTALL in
none) words=() ;;
action) words=(-c "$root/.ci/constraints.txt" "$root${EXTRAS:+[$EXTRAS]}") ;;
*) mapfile -t words < <(grep -v '^$' <<<"$INSTALL") ;;
esac
if [ ${#words[@]} -gt 0 ]; then
    python -m pip install --quiet "${words[@]}"
fi
skipfill --version
