# An Nginx access log (JSON lines, configs/nginx-log-format.conf) of clients that send uploads at a steady mean rate:
# every client keeps one connection and sends on it as a Poisson process. The same each time.
#
#   awk -v clients=40 -v per_s=5 -v seconds=20 -v bytes=2048 -v took=0.001 -v spread=1 -f bench/steady_log.awk
#
# clients   connections, the first requests spread evenly at random over `spread` seconds
# per_s     requests per second of one client, until `seconds`; 0: one request each
# bytes     of a request's body; 0: a GET without one
# took      seconds from the first byte of a request to the last of its answer, all of it upload

# Uniform in (0, 1): Park and Miller's minimal standard generator (CACM 31, 1988).
function uniform() { state = state * 16807 % 2147483647; return state / 2147483647 }

BEGIN {
  state = 20261130
  method = bytes > 0 ? "POST" : "GET"
  for (client = 1; client <= clients; client++) {
    at = uniform() * spread
    for (request = 1; request == 1 || (per_s > 0 && at < seconds); request++) {
      printf "{\"msec\":\"%.3f\",\"connection\":\"%d\",\"connection_requests\":\"%d\",", 1700000000 + at + took, client, request
      printf "\"remote_addr\":\"10.%d.%d.%d\",\"host\":\"app.example\",\"server_protocol\":\"HTTP/1.1\",", \
        client / 65536, client / 256 % 256, client % 256
      printf "\"request_method\":\"%s\",\"request_uri\":\"/api/students/upload-recording\",\"request_length\":\"%d\",", method, bytes + 400
      if (bytes > 0) printf "\"content_type\":\"multipart/form-data; boundary=----KingtideBench0123456789\",\"content_length\":\"%d\",", bytes
      printf "\"status\":\"200\",\"body_bytes_sent\":\"64\",\"request_time\":\"%.3f\",\"upstream_response_time\":\"0.000\",", took
      printf "\"sent_http_content_type\":\"application/json\"}\n"
      at += -log(uniform()) / (per_s > 0 ? per_s : 1)
    }
  }
}
