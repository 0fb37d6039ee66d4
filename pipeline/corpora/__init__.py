"""Where audio comes from: packaged and user corpora, packed stores, and mixing on the fly."""
