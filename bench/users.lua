-- wrk's requests: users of forty requests each, every one with a token of its own and JSON of 30 KB that does not
-- compress to nothing. At its end one line: requests, µs, p50 µs, p99 µs, errors.

local asked, user = 0, 0
local bodies = {}

function init()
  math.randomseed(7)
  for i = 1, 16 do
    local text = {}
    for j = 1, 3750 do text[j] = string.format("%08x", math.random(0, 2147483647)) end
    bodies[i] = "{\"essay\":\"" .. table.concat(text) .. "\"}"
  end
end

function request()
  if asked % 40 == 0 then user = user + 1 end
  asked = asked + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer token-of-user-" .. user .. "-" .. string.rep("a1B2c3D4", 8) .. user,
  }
  return wrk.format("POST", "/api/essays", headers, bodies[asked % #bodies + 1])
end

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("result %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors))
end
