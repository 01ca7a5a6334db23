# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The digest of an image, as an engine with either kind of image store tells it."""

from __future__ import annotations

from ansible_collections.hardshell.xen.plugins.module_utils._engine.references import Images, parse_reference

ID, DIGEST = "sha256:" + "1" * 64, "sha256:" + "2" * 64
WEB = "registry.example:5000/shop/web:1"


def test_an_image_of_the_engines_own_store_is_known_by_the_digest_of_its_registry() -> None:
    images = Images(
        [{"Id": ID, "RepoTags": ["box:1", WEB], "RepoDigests": [f"registry.example:5000/shop/web@{DIGEST}"]}]
    )
    assert images.digest_of(ID, parse_reference("image", WEB)) == DIGEST
    assert images.digest_of(ID, parse_reference("image", "box:1")) == ""


def test_an_image_of_containerds_store_is_known_by_its_id_under_every_name() -> None:
    # Docker Engine 28.5 with the feature containerd-snapshotter.
    images = Images([{"Id": ID, "RepoTags": [WEB, "box:1"], "RepoDigests": [f"box@{ID}"]}])
    assert images.digest_of(ID, parse_reference("image", WEB)) == ID
