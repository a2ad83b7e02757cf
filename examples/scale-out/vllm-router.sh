#!/bin/sh
# vllm-router.sh URL..: one address, http://127.0.0.1:8000, for servers that run the same model. Requests that begin
# alike go to the server that has the beginning in its cache, unless another one has much less to do.
exec vllm-router --host 127.0.0.1 --port "${PORT:-8000}" --worker-urls "$@" \
    --policy cache_aware --health-check-endpoint /ready --health-check-interval-secs 2 \
    --health-failure-threshold 1 --health-success-threshold 1 --worker-startup-check-interval 1 \
    --cb-timeout-duration-secs 5 --log-level warning \
    --balance-abs-threshold 2 --balance-rel-threshold 1.2 --retry-max-retries 5
