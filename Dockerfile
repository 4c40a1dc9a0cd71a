# The recorder as an image: a drop-in for mattermost/calls-recorder. What is in it, how large it is, and how it is run:
# docs/deployment.md. It names no processor: the build runs wherever Debian has Chromium.
#
#   docker build --tag recorder-fsm .
#
# Kept to what Docker 20.10 understands: no `# syntax=` line, no heredocs, no COPY --link, no --start-interval.

# Or debian:bookworm-slim.
ARG BASE=debian:trixie-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
SHELL ["/bin/sh", "-eu", "-c"]
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install --yes --no-install-recommends binutils python3 python3-pip python3-setuptools python3-venv python3-wheel; \
    rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/run.lock locked.txt
# No pip in the result; wheels only, so that nothing of a package's own runs here. xcffib comes as its sources alone, which
# are Python and have no program for building: a wheel is made of them with Debian's setuptools.
RUN python3 -m venv --without-pip /opt/recorder-fsm; \
    sed -n '/^xcffib==/,/^    # via/p' locked.txt > sources.txt; \
    sed -i '/^xcffib==/,/^    # via/d' locked.txt; \
    python3 -m pip --python /opt/recorder-fsm/bin/python3 install --no-cache-dir --require-hashes --no-deps \
        --only-binary :all: --requirement locked.txt; \
    python3 -m pip wheel --no-cache-dir --require-hashes --no-deps --no-build-isolation --wheel-dir wheels \
        --requirement sources.txt; \
    # Playwright's driver: without Node's symbols (27 MB), its trace viewer and its types.
    packages=$(echo /opt/recorder-fsm/lib/python3*/site-packages); \
    driver=$packages/playwright/driver; \
    strip "$driver/node"; \
    rm -rf "$driver/package/lib/vite" "$driver/package/types"; \
    # Only needed to install packages, or to test them.
    for name in setuptools 'setuptools-*' pkg_resources _distutils_hack distutils-precedence.pth wheel 'wheel-*'; do \
        find "$packages" -maxdepth 1 -name "$name" -exec rm -rf {} +; \
    done; \
    find "$packages" -type d -name tests -prune -exec rm -rf {} +
COPY setup.cfg pyproject.toml LICENSE ./
COPY recorder_fsm recorder_fsm
RUN python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels .; \
    python3 -m pip --python /opt/recorder-fsm/bin/python3 install --no-cache-dir --no-deps --no-index wheels/*.whl

# hadolint ignore=DL3006
FROM ${BASE}
SHELL ["/bin/sh", "-eu", "-c"]
# Named dpkg rules instead of deletions afterwards, so that they also hold for updates in images built on this one.
# Mesa's renderers and the compiler behind them draw nothing here: Chromium runs without a GPU and brings its own
# software renderer, the display is used without GL. They are not installed either; the rules are for a later update.
# hadolint ignore=DL3008
RUN printf 'path-exclude=%s\n' \
        '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/lintian/*' \
        '/usr/share/fonts/opentype/noto/NotoSerifCJK*' '/usr/share/fonts/truetype/noto/NotoSerif*' \
        '/usr/share/fonts/truetype/noto/NotoSansDisplay*' '/usr/share/fonts/truetype/noto/NotoSansSignWriting*' \
        '/usr/lib/*/libLLVM*' '/usr/lib/*/dri/*' '/usr/lib/*/libgallium*' '/usr/lib/*/libz3.so*' \
        '/usr/lib/chromium/libVk*' '/usr/share/iso-codes/*' '/usr/share/xml/iso-codes/*' \
        > /etc/dpkg/dpkg.cfg.d/recorder-fsm; \
    # Tibetan has no other.
    printf 'path-include=%s\n' '/usr/share/doc/*/copyright' '/usr/share/fonts/truetype/noto/NotoSerifTibetan*' \
        >> /etc/dpkg/dpkg.cfg.d/recorder-fsm; \
    apt-get update; \
    # Of these not one file would be used, and they bring LLVM: not installed at all, so that nobody has to mend holes in
    # them. An empty package says that it provides them, each in the version that the others ask for.
    provides=; \
    for name in libgl1-mesa-dri mesa-libgallium iso-codes; do \
        apt-cache show --no-all-versions "$name" > /tmp/shown 2> /dev/null || continue; \
        version=$(sed -n 's/^Version: //p' /tmp/shown); \
        if [ -n "$version" ]; then provides="$provides${provides:+, }$name (= $version)"; fi; \
    done; \
    mkdir -p /tmp/unused/DEBIAN; \
    printf '%s\n' 'Package: unused-by-recorder-fsm' 'Version: 1' 'Architecture: all' 'Multi-Arch: foreign' \
        'Maintainer: recorder-fsm <nobody@localhost>' "Provides: $provides" \
        'Description: stands for packages of which the recorder uses no file' > /tmp/unused/DEBIAN/control; \
    dpkg-deb --build /tmp/unused /tmp/unused.deb; \
    # Not pinned: each build takes Debian's present security updates, for Chromium above all.
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates \
        chromium \
        # Chromium's libraries want any D-Bus launcher; the default one brings systemd. Neither is ever started.
        dbus-x11 \
        ffmpeg \
        fonts-dejavu-core \
        fonts-noto-cjk \
        fonts-noto-core \
        fonts-noto-color-emoji \
        # For the driver's Node.
        libatomic1 \
        libnss3-tools \
        pulseaudio \
        pulseaudio-utils \
        python3 \
        tini \
        tzdata \
        xvfb \
        /tmp/unused.deb; \
    apt-get clean; \
    # Nobody here becomes another user by a program. The override also holds for updates in images built on this one.
    find / -xdev -perm /6000 -type f > /tmp/lending; \
    while read -r program; do dpkg-statoverride --update --add root root 0755 "$program"; done < /tmp/lending; \
    rm -rf /tmp/unused /tmp/unused.deb /tmp/shown /tmp/lending; \
    rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/cache/fontconfig/* /var/log/*.log /var/log/apt; \
    # So that no browser reads all fonts when it starts. The list holds for a directory's exact time, and a pulled layer has
    # whole seconds only.
    find /usr/share/fonts /usr/local/share/fonts -type d -exec touch --date="@$(date +%s)" {} +; \
    fc-cache --force --system-only; \
    useradd --uid 1000 --create-home --shell /usr/sbin/nologin calls; \
    install --directory --owner=calls --group=calls --mode=0755 /data; \
    install --directory --mode=1777 /tmp/.X11-unix
COPY --from=build /opt/recorder-fsm /opt/recorder-fsm
COPY deploy/entrypoint deploy/healthcheck /usr/local/bin/
# What is in here, for those who look for known holes: cat it, or give it to a scanner.
COPY deploy/sbom.py /usr/share/recorder-fsm/
RUN python3 -I -B /usr/share/recorder-fsm/sbom.py /opt/recorder-fsm > /usr/share/recorder-fsm/sbom.cdx.json

ENV PATH=/opt/recorder-fsm/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /home/calls
VOLUME /data
# The entrypoint begins as root where the launcher lets it, to hand the job's directory to `calls`, and goes on as `calls`.
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["run"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=2 CMD ["/usr/local/bin/healthcheck"]

# The version is the program's own, which a test holds; the others only the one who builds knows.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="recorder-fsm" \
      org.opencontainers.image.description="Headless recorder for Mattermost Calls, a drop-in for mattermost/calls-recorder" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE:-unknown}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION:-unknown}"
