-- wrk's request: one multipart upload as a browser sends it, BODY_BYTES in all, the same bytes every time.
-- At its end one line for bench/proxy.sh and bench/replay.sh: requests, µs, p50 µs, p99 µs, errors.

local boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gWq"

local function field(name, value)
  return "--" .. boundary .. "\r\nContent-Disposition: form-data; name=\"" .. name .. "\"\r\n\r\n" .. value .. "\r\n"
end

-- Bytes that do not repeat, so that a scan for the boundary meets what recordings have.
local function noise(count)
  math.randomseed(7)
  local block = {}
  for i = 1, math.min(count, 65536) do block[i] = string.char(math.random(0, 255)) end
  local text = table.concat(block)
  return string.rep(text, math.ceil(count / #text)):sub(1, count)
end

local function multipart(total)
  local head = field("assignment_id", "c2f2294e-58d6-4f74-ab74-c97435f66372")
    .. field("activity_id", "dca252ea-2879-4dfb-b728-99f7eb3b1c91")
    .. "--" .. boundary .. "\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"recording.webm\"\r\n"
    .. "Content-Type: audio/webm\r\n\r\n"
  local tail = "\r\n--" .. boundary .. "--\r\n"
  return head .. noise(total - #head - #tail) .. tail
end

local headers = {
  ["User-Agent"] = "Mozilla/5.0 (Linux; Android 15; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) "
    .. "Chrome/142.0.0.0 Mobile Safari/537.36",
  ["Accept"] = "application/json, text/plain, */*",
  ["Accept-Language"] = "en-GB,en;q=0.9",
  ["Content-Type"] = "multipart/form-data; boundary=" .. boundary,
  ["Authorization"] = "Bearer " .. string.rep("a1B2c3D4", 31),
}

function init()
  local body = multipart(tonumber(os.getenv("BODY_BYTES")))
  whole = wrk.format("POST", "/api/students/upload-recording", headers, body)
end

function request() return whole end

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("result %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors))
end
