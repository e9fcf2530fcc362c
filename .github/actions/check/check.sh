#!/usr/bin/env bash
# Checks a model as the inputs of the action say, writes the reports and outputs, and ends with the check's exit code.
set -euo pipefail

lines() {  # adds each line of $2, after the option $1 if it is not empty, to `words`
    while IFS= read -r line; do
        [ -z "$line" ] || words+=(${1:+"$1"} "$line")
    done <<<"$2"
}

if [ -n "$STORE" ]; then
    export SKIPFILL_STORE="$STORE"
fi
case $JSON in
/*) report=$JSON ;;
*) report=$PWD/$JSON ;;
esac
mkdir -p "$(dirname "$report")"  # a document that cannot be written would end the script with 1, as a fail does
words=(check --json --github)
lines --items "$ITEMS"
lines --gallery-items "$GALLERY_ITEMS"
lines --judgements "$JUDGEMENTS"
lines --junit "$JUNIT"
lines --html "$HTML"
lines "" "$POLICY"
lines "" "$OPTIONS"
words+=(-- "$GALLERY" "$MODEL")

code=0
if [ -n "$BUNDLE" ]; then
    skipfill model add --json --name "$MODEL" -- "$BUNDLE" >"$JSON" || code=$?
fi
if [ "$code" = 0 ]; then
    skipfill "${words[@]}" >"$JSON" || code=$?
fi
verdict=$(python -c 'import json, sys; print(json.load(open(sys.argv[1])).get("verdict", "error"))' "$JSON") || verdict=error
{
    echo "verdict=$verdict"
    echo "exit-code=$code"
    echo "report=$report"
} >>"$GITHUB_OUTPUT"
exit "$code"
