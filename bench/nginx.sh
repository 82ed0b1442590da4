# Sourced by the benches, after demo/servers.sh: Debian's nginx before a sink. The script sets WORK (a directory),
# BIN (where the programs are), SINK (the sink's URL) and CORES, and defines die MESSAGE.

# Nginx cannot say which port it got, so it listens on a free one that was just let go.
free_port() {
  start port "$BIN/examples/sink"
  PORT=${URL##*:}
  kill "$PID" && wait "$PID" 2>/dev/null || true
}

nginx_config() { # REQUEST_BUFFERING
  cat <<CONF
daemon off;
worker_processes $CORES;
pid $WORK/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log $WORK/access.log;
  client_body_temp_path $WORK/body; proxy_temp_path $WORK/proxy; fastcgi_temp_path $WORK/fastcgi;
  uwsgi_temp_path $WORK/uwsgi; scgi_temp_path $WORK/scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  upstream sink { server ${SINK#http://}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:$PORT;
    location / {
      proxy_pass http://sink;
      proxy_http_version 1.1;
      proxy_request_buffering $1;
      proxy_set_header Connection "";
      proxy_set_header Host \$host;
      proxy_set_header X-Real-IP \$remote_addr;
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host \$host;
      proxy_set_header X-Forwarded-Proto \$scheme;
    }
  }
}
CONF
}

# Sets URL and PID: start_nginx REQUEST_BUFFERING (on or off)
start_nginx() {
  free_port
  nginx_config "$1" >"$WORK/nginx.conf"
  nginx -e stderr -p "$WORK" -c "$WORK/nginx.conf" 2>"$WORK/nginx.err" &
  PID=$!
  PIDS+=("$PID")
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
      URL=http://127.0.0.1:$PORT
      return
    fi
    kill -0 "$PID" 2>/dev/null || break
    sleep 0.05
  done
  die "nginx did not start: $(cat "$WORK/nginx.err")"
}
