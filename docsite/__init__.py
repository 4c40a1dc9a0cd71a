"""The site of the documents: pages that the program writes of itself, links, and the pictures in them."""
