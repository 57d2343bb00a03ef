"""What people look at: pictures of predictions, charts, pages and videos."""
