# Debian's own PostgreSQL, with the account, the volume and the start of the image it stands for.
ARG BASE
FROM ${BASE}
RUN ln -s /usr/lib/postgresql/*/bin /opt/postgresql \
    && install --directory --owner=postgres --group=postgres /var/lib/postgresql/data
ENV PGDATA=/var/lib/postgresql/data \
    PATH=/opt/postgresql:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --chmod=755 postgres-run /usr/local/bin/postgres-run
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-run"]
CMD ["postgres"]
