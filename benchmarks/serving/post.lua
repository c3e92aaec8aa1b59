-- wrk: posts one file; the arguments are path, content type, bytes of JSON before binary tensors ("-" for none), file.
function init(args)
  local file = assert(io.open(args[4], "rb"))
  wrk.method, wrk.path, wrk.body = "POST", args[1], file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = args[2]
  if args[3] ~= "-" then wrk.headers["Inference-Header-Content-Length"] = args[3] end
end

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
  io.write(string.format('{"requests": %d, "us": %d, "failed": %d, "p50": %.1f, "p99": %.1f}\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
