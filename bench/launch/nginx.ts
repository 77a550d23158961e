import { writeFileSync } from 'node:fs'
import type { Backend } from '../backend.ts'
import type { RunningSubject, Subject, SubjectContext } from '../subject.ts'
import { accepts, freePort } from './free-port.ts'

/** nginx with one worker; `accessLog` makes it write the fields of the gateway's access log, buffered as the gateway does. */
export function nginxSubject(accessLog: boolean): Subject {
  const name = accessLog ? 'nginx+log' : 'nginx'
  const summary = accessLog ? 'the same with a buffered JSON access_log' : 'nginx, one worker, access_log off'
  return { name, summary, start: context => startNginx(context, accessLog) }
}

async function startNginx(context: SubjectContext, accessLog: boolean): Promise<RunningSubject> {
  const { setting, backend } = context
  const name = accessLog ? 'nginx+log' : 'nginx'
  const port = await freePort()
  const prefix = setting.path(`nginx-${port}`)
  const logFile = `${prefix}-access.log`
  writeFileSync(`${prefix}.conf`, configuration({ prefix, port, backend, logFile: accessLog ? logFile : null }))
  const command = ['nginx', '-e', `${prefix}-error.log`, '-c', `${prefix}.conf`]
  const child = setting.start({ name, command, place: 'subject' })
  await child.until(() => accepts(port))
  return { name, port, child, logFiles: accessLog ? [logFile] : [] }
}

const TEMPORARY_PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

const LOG_FORMAT = `log_format fairlead escape=json '{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method","target":"$request_uri",'
    '"session":"$http_x_sandbox_id","member":"$proxy_host","status":$status,"bytes":$body_bytes_sent,'
    '"seconds":$request_time,"upstream":"$upstream_response_time"}';`

interface Settings {
  prefix: string
  port: number
  backend: Backend
  logFile: string | null
}

// proxy_buffer_size (which wants proxy_buffers no smaller): with the default of 4k, proxy_buffering off is six times slower on large bodies, which would flatter the others.
function configuration({ prefix, port, backend, logFile }: Settings): string {
  const { ports, sessions } = backend
  return `
worker_processes 1;
daemon off;
error_log ${prefix}-error.log;
pid ${prefix}.pid;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  ${logFile === null ? 'access_log off;' : `${LOG_FORMAT}\n  access_log ${logFile} fairlead buffer=64k flush=100ms;`}
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  ${TEMPORARY_PATHS.map(path => `${path}_temp_path ${prefix}-${path};`).join(' ')}
  map_hash_max_size 65536;
  map_hash_bucket_size 128;
  map $http_x_sandbox_id $member {
    default "";
    ${sessions.map(session => `${session.id} member_${session.port};`).join('\n    ')}
  }
  ${ports.map(backendPort => `upstream member_${backendPort} { server 127.0.0.1:${backendPort}; keepalive 64; keepalive_requests 100000000; }`).join('\n  ')}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      if ($member = "") { return 404; }
      proxy_pass http://$member;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`
}
