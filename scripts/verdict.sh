# shellcheck shell=bash
# What a run of tests comes to, from what scripts/test-program and others have noted (TEST_RECORDS). Sourced.

# Prints the slowest tests, those that are flaky, and as its last line `N passed, N failed`. Fails if more than so many are flaky.
verdict() { # RECORDS LIMIT
    local flaky
    # Tests run side by side: these are times on a busy machine, not costs.
    echo "slowest tests"
    { grep '^time ' "$1" || true; } | sort -k2,2 -rn | awk 'NR <= 10 { printf "  %8.1f s  %s\n", $2, $3 }'
    flaky=$(grep -c '^flaky ' "$1" || true)
    sed -n 's/^flaky /FLAKY /p' "$1"
    [ "$flaky" -le "$2" ] || echo "more than $2 tests are flaky"
    awk '$1 == "count" { passed += $2; failed += $3 } END { printf "%d passed, %d failed\n", passed, failed }' "$1"
    [ "$flaky" -le "$2" ]
}
