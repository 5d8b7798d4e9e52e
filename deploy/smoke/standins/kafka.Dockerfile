# Kafka's jars from Maven on Debian, started by Kafka's own wrapper for containers, with the account, the directories and
# the volumes of the image it stands for.
ARG BASE
FROM ${BASE}
RUN useradd --create-home --uid 1000 appuser \
    && install --directory --owner=appuser /opt/kafka/config /opt/kafka/logs /mnt/shared/config /etc/kafka/secrets \
        /var/lib/kafka/data
COPY kafka-jars /opt/kafka/libs
COPY kafka-configs /etc/kafka/docker
COPY --chmod=755 kafka-run /etc/kafka/docker/run
USER 1000
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
CMD ["/etc/kafka/docker/run"]
