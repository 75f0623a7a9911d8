# An image with programs under supervisord: docker build -f Dockerfile.app -t app .
# The image "supervisord" is that of `make dist` (podman load -i, or skopeo copy oci-archive:...), or of the Dockerfile beside this.
FROM supervisord:1.0.0 AS supervisord

FROM python:3-slim
# In the place of: RUN apt-get update && apt-get install -y supervisor
COPY --from=supervisord /usr/bin/ /usr/bin/
COPY --from=supervisord /etc/supervisord.conf /etc/supervisord.conf
# One file for each program.
COPY app.conf /etc/supervisor.d/app.conf
RUN supervisord check -c /etc/supervisord.conf

# Any user will do; see compose.yaml for what else can be taken away.
USER 12345:0
ENTRYPOINT ["/usr/bin/supervisord", "-n", "-c", "/etc/supervisord.conf"]
# Whether the daemon answers. "status" in the place of "pid" asks whether every program runs.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/supervisorctl", "-c", "/etc/supervisord.conf", "pid"]
